#include "sd_write.h"
#include "sd_internal.h"

uint64_t sd_build_index(const uint8_t *ids, const uint64_t *ends, uint32_t n, uint32_t *scratch,
                        uint32_t *slots) {
    uint64_t m = sd_index_slots(n), end = 0;
    uint32_t *starts = scratch, *first = scratch + m + 1, *order = first + n;
    for (uint64_t slot = 0; slot <= m; slot++)
        starts[slot] = 0;
    for (uint32_t row = 0; row < n; row++) {
        uint64_t begin = row ? ends[row - 1] : 0;
        first[row] = (uint32_t)(sd_crc32(0, ids + begin, ends[row] - begin) * m >> 32);
        starts[first[row] + 1]++;
    }
    for (uint64_t slot = 0; slot < m; slot++)
        starts[slot + 1] += starts[slot];
    for (uint32_t row = 0; row < n; row++)
        order[starts[first[row]]++] = row;
    /* Each id lies at its slot, or right after the one before it. */
    for (uint32_t i = 0; i < n; i++) {
        while (end < first[order[i]])
            slots[end++] = UINT32_MAX;
        slots[end++] = order[i];
    }
    while (end < m)
        slots[end++] = UINT32_MAX;
    return end;
}

/* First of the symbols lo ... hi - 1, which have `depth` bytes in common, whose next byte is at
 * least `byte`; one that has no next byte comes before all. */
static uint32_t lower_bound(const sd_cutter *cutter, uint32_t lo, uint32_t hi, uint32_t depth,
                            uint32_t byte) {
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2, begin = middle ? cutter->ends[middle - 1] : 0;
        if (begin + depth == cutter->ends[middle] || cutter->bytes[begin + depth] < byte)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* Cut one string; returns the number of symbols, 0 where they do not suffice. */
static uint32_t cut_string(const sd_cutter *cutter, const uint8_t *text, uint32_t length,
                           sd_cut_scratch *scratch, uint16_t *codes) {
    for (uint32_t i = 1; i <= length; i++)
        scratch->cost[i] = UINT32_MAX;
    scratch->cost[0] = 0;
    for (uint32_t from = 0; from < length; from++) {
        uint32_t lo = 0, hi = cutter->n;
        if (scratch->cost[from] == UINT32_MAX)
            continue;
        for (uint32_t at = from; at < length && lo < hi; at++) {
            lo = lower_bound(cutter, lo, hi, at - from, text[at]);
            hi = lower_bound(cutter, lo, hi, at - from, text[at] + 1u);
            /* The one that ends here comes first. */
            if (lo == hi || cutter->ends[lo] - (lo ? cutter->ends[lo - 1] : 0) != at + 1 - from)
                continue;
            uint32_t cost = scratch->cost[from] + cutter->costs[lo];
            if (cost < scratch->cost[at + 1]) {
                scratch->cost[at + 1] = cost;
                scratch->last[at + 1] = (uint16_t)lo;
            }
        }
    }
    if (scratch->cost[length] == UINT32_MAX)
        return 0;
    /* Backwards, to the end of the room, then to its beginning. */
    uint32_t count = 0;
    for (uint32_t end = length; end;) {
        uint32_t symbol = scratch->last[end];
        codes[length - ++count] = cutter->numbers[symbol];
        end -= cutter->ends[symbol] - (symbol ? cutter->ends[symbol - 1] : 0);
    }
    for (uint32_t i = 0; i < count; i++)
        codes[i] = codes[length - count + i];
    return count;
}

uint64_t sd_cut(const sd_cutter *cutter, const uint8_t *text, uint64_t length,
                sd_cut_scratch *scratch, uint16_t *codes) {
    uint64_t done = 0, count = 0;
    while (done < length) {
        uint32_t end = 0, taken;
        while (done + end < length && end < SD_MAX_CUT && text[done + end] != 255)
            end++;
        if (done + end == length || end == SD_MAX_CUT)
            return UINT64_MAX;
        taken = cut_string(cutter, text + done, end + 1, scratch, codes + count);
        if (!taken)
            return UINT64_MAX;
        count += taken;
        done += end + 1;
    }
    return count;
}
