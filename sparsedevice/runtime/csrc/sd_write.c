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

SD_INLINE uint32_t symbol_begin(const sd_cutter *cutter, uint32_t symbol) {
    return symbol ? cutter->ends[symbol - 1] : 0;
}

SD_INLINE uint32_t symbol_bytes(const sd_cutter *cutter, uint32_t symbol) {
    return cutter->ends[symbol] - symbol_begin(cutter, symbol);
}

/* Where symbols stand that begin with a byte, or with two. */
static void index_symbols(const sd_cutter *cutter, sd_cut_scratch *scratch) {
    uint32_t pair = 0;
    for (uint32_t byte = 0; byte < 256; byte++)
        scratch->singles[byte] = SD_NO_SYMBOL;
    for (uint32_t symbol = 0; symbol < cutter->n; symbol++) {
        const uint8_t *bytes = cutter->bytes + symbol_begin(cutter, symbol);
        uint32_t next = 256u * bytes[0]; /* the first two bytes that it comes before */
        if (symbol_bytes(cutter, symbol) > 1)
            next += bytes[1] + 1u;
        else if (scratch->singles[bytes[0]] == SD_NO_SYMBOL) /* of two alike the first */
            scratch->singles[bytes[0]] = (uint16_t)symbol;
        for (; pair < next; pair++)
            scratch->pairs[pair] = (uint16_t)symbol;
    }
    for (; pair <= 65536; pair++)
        scratch->pairs[pair] = (uint16_t)cutter->n;
}

/* First of the symbols lo ... hi - 1, which have `depth` bytes in common, whose next byte is at
 * least `byte`; one that has no next byte comes before all. */
static uint32_t lower_bound(const sd_cutter *cutter, uint32_t lo, uint32_t hi, uint32_t depth,
                            uint32_t byte) {
    while (lo < hi) {
        uint32_t middle = lo + (hi - lo) / 2, begin = symbol_begin(cutter, middle);
        if (begin + depth == cutter->ends[middle] || cutter->bytes[begin + depth] < byte)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

/* The string up to `end` may be what it is up to `from`, and a symbol. */
SD_INLINE void offer(const sd_cutter *cutter, sd_cut_scratch *scratch, uint32_t from, uint32_t end,
                     uint32_t symbol) {
    uint32_t cost = scratch->cost[from] + cutter->costs[symbol];
    if (cost < scratch->cost[end]) {
        scratch->cost[end] = cost;
        scratch->last[end] = (uint16_t)symbol;
    }
}

/* Cut one string; returns the number of symbols, 0 where they do not suffice. */
static uint32_t cut_string(const sd_cutter *cutter, const uint8_t *text, uint32_t length,
                           sd_cut_scratch *scratch, uint16_t *codes) {
    for (uint32_t i = 1; i <= length; i++)
        scratch->cost[i] = UINT32_MAX;
    scratch->cost[0] = 0;
    for (uint32_t from = 0; from < length; from++) {
        uint32_t single = scratch->singles[text[from]];
        if (scratch->cost[from] == UINT32_MAX)
            continue;
        if (single != SD_NO_SYMBOL)
            offer(cutter, scratch, from, from + 1, single);
        if (from + 1 == length)
            continue;
        /* Before the end, byte 255, a symbol of the next single byte may be among them. */
        uint32_t pair = (uint32_t)text[from] << 8 | text[from + 1], hi = scratch->pairs[pair + 1];
        uint32_t lo = scratch->pairs[pair], depth = 2;
        while (lo < hi) {
            /* The one that ends here comes first. */
            if (symbol_bytes(cutter, lo) == depth)
                offer(cutter, scratch, from, from + depth, lo++);
            if (from + depth == length)
                break;
            lo = lower_bound(cutter, lo, hi, depth, text[from + depth]);
            hi = lower_bound(cutter, lo, hi, depth, text[from + depth] + 1u);
            depth++;
        }
    }
    if (scratch->cost[length] == UINT32_MAX)
        return 0;
    /* Backwards, to the end of the room, then to its beginning. */
    uint32_t count = 0;
    for (uint32_t end = length; end;) {
        uint32_t symbol = scratch->last[end];
        codes[length - ++count] = cutter->numbers[symbol];
        end -= symbol_bytes(cutter, symbol);
    }
    for (uint32_t i = 0; i < count; i++)
        codes[i] = codes[length - count + i];
    return count;
}

uint64_t sd_cut(const sd_cutter *cutter, const uint8_t *text, uint64_t length,
                sd_cut_scratch *scratch, uint16_t *codes) {
    uint64_t done = 0, count = 0;
    index_symbols(cutter, scratch);
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

uint64_t sd_bits_bytes(const int64_t *widths, uint64_t n) {
    uint64_t bits = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (widths[i] < 0 || widths[i] > 56)
            return UINT64_MAX;
        bits += (uint64_t)widths[i];
    }
    return (bits + 7) / 8 + 8;
}

static void put_u64(uint8_t *to, uint64_t number) {
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(number >> 8 * i);
}

void sd_pack_bits(const int64_t *numbers, const int64_t *widths, uint64_t n, uint8_t *packed) {
    uint64_t waiting = 0; /* fewer than eight bits between two numbers */
    uint32_t count = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t own = (uint64_t)numbers[i] & ((1ull << widths[i]) - 1);
        waiting |= own << count;
        put_u64(packed, waiting);
        count += (uint32_t)widths[i];
        packed += count / 8;
        waiting >>= count & ~7u;
        count &= 7;
    }
    put_u64(packed, waiting);
    if (count)
        packed[8] = 0;
}

uint64_t sd_front_lengths(const uint8_t *shared, uint64_t n, const uint8_t *ends,
                          uint64_t end_bytes, int64_t *lengths) {
    uint64_t at = 0, before = 0, all = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t own = shared[i] < before ? shared[i] : before;
        for (; at < end_bytes && ends[at] != 255; at++)
            own++;
        if (at++ == end_bytes)
            return UINT64_MAX;
        lengths[i] = (int64_t)own;
        all += before = own;
    }
    return at == end_bytes ? all : UINT64_MAX;
}

void sd_join_fronts(const int64_t *lengths, uint64_t n, const uint8_t *ends, uint8_t *strings) {
    const uint8_t *last = strings;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t length = (uint64_t)lengths[i], own = 0;
        while (ends[own] != 255)
            own++;
        for (uint64_t j = 0; j < length - own; j++)
            strings[j] = last[j];
        for (uint64_t j = 0; j < own; j++)
            strings[length - own + j] = ends[j];
        ends += own + 1;
        last = strings;
        strings += length;
    }
}
