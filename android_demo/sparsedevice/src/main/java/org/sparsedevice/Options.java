package org.sparsedevice;

/** How a model is opened. */
public final class Options {
    /** Who computes. */
    public enum EngineChoice {
        /** The native library where it loads, else Java. */
        AUTO,
        /** The native library, or an exception. */
        NATIVE,
        /** Java, on any device. */
        JAVA
    }

    EngineChoice engine = EngineChoice.AUTO;
    boolean verify = true;

    /** Who computes; by default {@link EngineChoice#AUTO}. */
    public Options engine(EngineChoice choice) {
        engine = choice;
        return this;
    }

    /**
     * Whether opening checks every promise of the format, in time linear in the size of the file; by default it
     * does. Without it opening takes microseconds, and damaged bytes give wrong answers, but never an access
     * outside the file.
     */
    public Options verify(boolean wanted) {
        verify = wanted;
        return this;
    }
}
