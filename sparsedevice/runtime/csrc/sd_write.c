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

SD_INLINE uint32_t four_columns(const sd_plain_rows *rows, uint32_t column_bytes, uint64_t entry) {
    const int32_t *wide = (const int32_t *)rows->columns + (column_bytes == 1 ? 0 : entry);
    if (column_bytes == 1)
        return sd_u32((const uint8_t *)rows->columns + entry);
    return (uint32_t)wide[0] | (uint32_t)wide[1] << 8 | (uint32_t)wide[2] << 16 |
           (uint32_t)wide[3] << 24;
}

SD_INLINE void put_four(uint8_t *to, uint32_t bytes) {
    to[0] = (uint8_t)bytes;
    to[1] = (uint8_t)(bytes >> 8);
    to[2] = (uint8_t)(bytes >> 16);
    to[3] = (uint8_t)(bytes >> 24);
}

/* Entries of one row of a slice of `steps` steps; docs/format.md, "Slices". */
SD_INLINE void lay_out_row(const sd_plain_rows *rows, uint32_t column_bytes, uint64_t begin,
                           uint32_t count, uint32_t lane, uint32_t steps, uint8_t *columns,
                           int8_t *values) {
    const uint8_t *bytes = rows->columns;
    const int32_t *wide = rows->columns;
    uint32_t done = 0, width = 4, end = steps & ~3u;
    for (; done + 4 <= count && done < end; done += 4) {
        uint64_t at = SD_SLICE_ROWS * (uint64_t)done + 4 * (uint64_t)lane;
        put_four(columns + at, four_columns(rows, column_bytes, begin + done));
        put_four((uint8_t *)values + at, sd_u32((const uint8_t *)rows->values + begin + done));
    }
    for (; done < count; done += width) {
        if (done == end) { /* a block of two, or of one */
            width = steps - done >= 2 ? 2 : 1;
            end += width;
        }
        uint64_t at = SD_SLICE_ROWS * (uint64_t)done + (uint64_t)width * lane;
        for (uint32_t e = 0; e < width && done + e < count; e++) {
            uint64_t entry = begin + done + e;
            columns[at + e] = column_bytes == 1 ? bytes[entry] : (uint8_t)wide[entry];
            values[at + e] = rows->values[entry];
        }
    }
}

SD_INLINE void lay_out(const sd_plain_rows *rows, uint32_t column_bytes, const uint32_t *slices,
                       uint8_t *columns, int8_t *values) {
    const sd_plain_rows own = *rows;
    for (uint64_t row = 0; row < own.n_rows; row++) {
        uint64_t slice = row / SD_SLICE_ROWS, first = SD_SLICE_ROWS * (uint64_t)slices[slice];
        uint64_t begin = (uint64_t)own.pointers[row];
        lay_out_row(&own, column_bytes, begin, (uint32_t)((uint64_t)own.pointers[row + 1] - begin),
                    (uint32_t)(row % SD_SLICE_ROWS), slices[slice + 1] - slices[slice],
                    columns + first, values + first);
    }
}

void sd_row_squares(const int64_t *pointers, uint64_t n_rows, const int8_t *values,
                    uint32_t *squares) {
    for (uint64_t row = 0; row < n_rows; row++) {
        uint32_t sum = 0;
        for (int64_t entry = pointers[row]; entry < pointers[row + 1]; entry++)
            sum += (uint32_t)(values[entry] * values[entry]);
        squares[row] = sum;
    }
}

void sd_to_slices(const sd_plain_rows *rows, const uint32_t *slices, uint8_t *columns,
                  int8_t *values) {
    if (rows->column_bytes == 1)
        lay_out(rows, 1, slices, columns, values);
    else
        lay_out(rows, 4, slices, columns, values);
}

void sd_pack_nibbles(const int8_t *values, const uint32_t *slices, uint64_t n_slices,
                     uint8_t *packed) {
    for (uint64_t slice = 0; slice < n_slices; slice++)
        for (uint32_t left = slices[slice + 1] - slices[slice], half; left; left -= half / 32) {
            half = left >= 2 ? 64 : 32;
            for (uint32_t i = 0; i < half; i++)
                packed[i] = (uint8_t)((values[i] & 15) | (uint8_t)values[i + half] << 4);
            packed += half;
            values += 2 * half;
        }
}
