package org.sparsedevice;

import java.util.List;

/**
 * One question, for example {@code Request.forHistory(ids).k(20).exclude(hidden)}.
 *
 * <p>What the user has seen is left out and filled up from further down, so exactly k items come back while there
 * are k: the history, or for a user the list that the file ships.
 */
public final class Request {
    final List<String> history;
    final String user;
    int k = 10;
    boolean excludeSeen = true;
    List<String> exclude;
    List<String> candidates;

    private Request(List<String> history, String user) {
        this.history = history;
        this.user = user;
    }

    /** Ask for somebody who used these items; repeats count once, unknown ids are reported and ignored. */
    public static Request forHistory(List<String> history) {
        return new Request(history, null);
    }

    /** Ask for a user whose row the file ships. */
    public static Request forUser(String user) {
        return new Request(null, user);
    }

    /** How many items; 1 or more, 10 by default. */
    public Request k(int wanted) {
        k = wanted;
        return this;
    }

    /** Leave out these items as well as what was seen. */
    public Request exclude(List<String> ids) {
        exclude = ids;
        excludeSeen = true;
        return this;
    }

    /** Leave out nothing, not even what was seen. */
    public Request excludeNothing() {
        exclude = null;
        excludeSeen = false;
        return this;
    }

    /** Choose among these items only. */
    public Request candidates(List<String> ids) {
        candidates = ids;
        return this;
    }
}
