package org.sparsedevice;

import java.util.List;

/** Answers queries in row numbers. Many threads may call one engine at once, each with its own scratch. */
abstract class Engine {
    /** Where the answers come from: {@code java}, or {@code native} with the kernel in use. */
    abstract String name();

    /** Rows of items by their ids, -1 where there is none, into {@code scratch.found}. */
    abstract void find(List<String> ids, Scratch scratch);

    /**
     * The k best items, best first, equal scores in row order; exactly k while k are eligible.
     *
     * @param scratch the request; all its rows exist
     */
    abstract Recommendation[] recommend(Scratch scratch);

    /** Scores of {@code scratch.candidates}, in their order, into {@code scratch.scores}. */
    abstract void score(Scratch scratch);
}
