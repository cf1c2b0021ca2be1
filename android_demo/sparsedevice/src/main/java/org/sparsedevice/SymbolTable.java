package org.sparsedevice;

import java.util.Arrays;

/** The symbols that text is coded in (docs/format.md, "Strings"), and cutting strings into them. */
final class SymbolTable {
    private static final int BYTES = 256, MAX_WIDTH = 12;

    final int count, width, more, shortCount, firstFinal, finalCount;
    /** Left part of each symbol in the low, right part in the next 12 bits. */
    final int[] entries;
    private byte[][] texts;
    // A trie of what the symbols stand for; nodes 0 to 255 are the first bytes.
    private int[] child = new int[1024], sibling = new int[1024], symbolAt = new int[1024];
    private byte[] label = new byte[1024];
    private int nodes = BYTES;
    private int[] cost = new int[64], last = new int[64];

    private SymbolTable(int[] entries, int width, int more, int shortCount, int firstFinal, int finalCount) {
        this.entries = entries;
        count = entries.length;
        this.width = width;
        this.more = more;
        this.shortCount = shortCount;
        this.firstFinal = firstFinal;
        this.finalCount = finalCount;
        spell();
        Arrays.fill(symbolAt, -1);
        for (int symbol = 0; symbol < count; symbol++) {
            plant(symbol);
        }
    }

    /** The table of a list of text; null for other lists. */
    static SymbolTable of(StringList list) {
        if (list == null || list.coding != StringList.TEXT) {
            return null;
        }
        int[] entries = new int[list.symbolCount];
        for (int i = 0; i < entries.length; i++) {
            entries[i] = list.entry(i);
        }
        return new SymbolTable(
                entries, list.width, list.more, list.shortCount, list.firstFinal, list.finalCount);
    }

    /** Read a table as a delta has it. */
    static SymbolTable take(DeltaSource in) {
        long n = in.number();
        long[] codes = new long[5];
        for (int i = 0; i < 5; i++) {
            codes[i] = in.number();
        }
        int[] parts = in.planes(2 * n, 2), entries = new int[(int) n];
        if (n > StringList.NOTHING || codes[0] < 1 || codes[0] > MAX_WIDTH || codes[1] > MAX_WIDTH
                || codes[2] > 0xFFFF || codes[3] > 0xFFFF || codes[4] > 0xFFFF) {
            throw DeltaException.body("a table of " + n + " symbols with codes of " + codes[0] + " bits");
        }
        for (int i = 0; i < entries.length; i++) {
            if ((parts[2 * i] | parts[2 * i + 1]) >>> 12 != 0) {
                throw DeltaException.body("symbol " + i + " has a part that no table holds");
            }
            entries[i] = parts[2 * i] | parts[2 * i + 1] << 12;
        }
        return new SymbolTable(entries, (int) codes[0], (int) codes[1], (int) codes[2], (int) codes[3],
                (int) codes[4]);
    }

    private boolean isFinal(int symbol) {
        return symbol >= firstFinal && symbol < firstFinal + finalCount;
    }

    private boolean ends(int part) {
        return part >= StringList.LITERAL ? part == StringList.LITERAL + StringList.END : isFinal(part);
    }

    private boolean exists(int part) {
        return part < count || part >= StringList.LITERAL;
    }

    /** Spell out all symbols, those first whose parts are spelt out. */
    private void spell() {
        texts = new byte[count][];
        int waiting = count;
        for (int before = -1; waiting > 0 && waiting != before; ) {
            before = waiting;
            for (int symbol = 0; symbol < count; symbol++) {
                if (texts[symbol] == null && spell(symbol)) {
                    waiting--;
                }
            }
        }
        if (waiting > 0) {
            throw DeltaException.body("a symbol stands for itself");
        }
    }

    private boolean spell(int symbol) {
        int left = entries[symbol] & 0xFFF, right = entries[symbol] >>> 12;
        boolean single = right == StringList.NOTHING;
        int end = single ? left : right;
        if (!exists(left) || !exists(end) || (single ? left < StringList.LITERAL : ends(left))
                || ends(end) != isFinal(symbol)) {
            throw DeltaException.body("symbol " + symbol + " stands for the symbols " + left + " and " + right);
        }
        byte[] first = part(left), second = single ? new byte[0] : part(right);
        if (first == null || second == null) {
            return false;
        }
        if (first.length + second.length > StringList.MAX_SYMBOL_BYTES) {
            throw DeltaException.body("symbol " + symbol + " has " + (first.length + second.length) + " bytes");
        }
        byte[] text = Arrays.copyOf(first, first.length + second.length);
        System.arraycopy(second, 0, text, first.length, second.length);
        texts[symbol] = text;
        return true;
    }

    private byte[] part(int part) {
        return part >= StringList.LITERAL ? new byte[] {(byte) (part - StringList.LITERAL)} : texts[part];
    }

    private void plant(int symbol) {
        byte[] text = texts[symbol];
        int node = text[0] & 255;
        for (int i = 1; i < text.length; i++) {
            int next = step(node, text[i]);
            if (next == 0) {
                next = grow();
                label[next] = text[i];
                sibling[next] = child[node];
                child[node] = next;
            }
            node = next;
        }
        if (symbolAt[node] < 0) { // of two with one text the first is used
            symbolAt[node] = symbol;
        }
    }

    private int grow() {
        if (nodes == child.length) {
            child = Arrays.copyOf(child, 2 * nodes);
            sibling = Arrays.copyOf(sibling, 2 * nodes);
            label = Arrays.copyOf(label, 2 * nodes);
            symbolAt = Arrays.copyOf(symbolAt, 2 * nodes);
            Arrays.fill(symbolAt, nodes, 2 * nodes, -1);
        }
        return nodes++;
    }

    private int step(int node, byte next) {
        int found = child[node];
        while (found != 0 && label[found] != next) {
            found = sibling[found];
        }
        return found;
    }

    private int bits(int symbol) {
        return symbol < shortCount ? width : width + more;
    }

    /** Code a string and its end by the symbols that take the fewest bits. */
    void put(BitSink out, byte[] bytes, int begin, int length) {
        int n = length + 1;
        if (cost.length <= n) {
            cost = new int[2 * n + 1];
            last = new int[2 * n + 1];
        }
        Arrays.fill(cost, 1, n + 1, Integer.MAX_VALUE);
        cost[0] = 0;
        for (int from = 0; from < n; from++) {
            if (cost[from] == Integer.MAX_VALUE) {
                continue;
            }
            int node = 0;
            for (int at = from; at < n; at++) {
                byte next = at == length ? (byte) StringList.END : bytes[begin + at];
                node = at == from ? next & 255 : step(node, next);
                if (at > from && node == 0) {
                    break;
                }
                int symbol = symbolAt[node];
                if (symbol >= 0 && cost[from] + bits(symbol) < cost[at + 1]) {
                    cost[at + 1] = cost[from] + bits(symbol);
                    last[at + 1] = symbol;
                }
            }
        }
        if (cost[n] == Integer.MAX_VALUE) {
            throw DeltaException.body("a string is not made of the symbols given");
        }
        // Backwards, then in order; the costs are not needed any more.
        int taken = 0;
        for (int end = n; end > 0; end -= texts[last[end]].length) {
            cost[taken++] = last[end];
        }
        while (taken-- > 0) {
            int symbol = cost[taken], over = symbol - shortCount;
            long code = over < 0 ? symbol
                    : shortCount + (over >> more) | (over & (1L << more) - 1) << width;
            out.put(code, bits(symbol));
        }
    }
}
