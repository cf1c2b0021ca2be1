package org.sparsedevice;

/** Finds what begins with a prefix. */
final class Words {
    private Words() {}

    /** Where the first word of {@code text[0, length)} begins from which {@code wanted} can be read, or -1. */
    static int find(String wanted, char[] text, int length) {
        for (int at = 0; at + wanted.length() <= length; at++) {
            boolean begins = at == 0 || (!Character.isLetterOrDigit(text[at - 1])
                    && Character.isLetterOrDigit(text[at]));
            if (begins && matches(wanted, text, at)) {
                return at;
            }
        }
        return -1;
    }

    private static boolean matches(String wanted, char[] text, int at) {
        for (int i = 0; i < wanted.length(); i++) {
            if (text[at + i] != wanted.charAt(i)) {
                return false;
            }
        }
        return true;
    }
}
