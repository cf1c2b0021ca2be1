/* Decoding the columns and values of a compact file: prefix codes in eight streams.
 *
 * What decides the speed is how long one symbol waits for the one before it in its stream: the next
 * table and the next bits are known only then. So eight streams are decoded in turn, and no branch
 * depends on what is decoded.
 */
#include "sd_compact.h"
#include "sd_internal.h"

/* Bits that are there after sd_refill: 64, less the rest of a byte and the mark. */
#define FILLED_BITS 56u

/* A stream's next bits, highest first, then a mark: a 1 whose place says how many were taken. */
typedef struct {
    const uint8_t *at;
    uint64_t bits;
} bit_stream;

SD_INLINE uint64_t big_endian(const uint8_t *p) {
#if defined(__GNUC__) || defined(__clang__)
    return __builtin_bswap64(sd_u64(p));
#else
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | p[i];
    return value;
#endif
}

/* Streams that are damaged may run on beyond their end, but not beyond `last`, behind which there
 * are more bytes than are taken between two refills. */
SD_INLINE void refill(bit_stream *stream, const uint8_t *last) {
    uint32_t taken = sd_trailing_zeros(stream->bits);
    const uint8_t *at = stream->at + (taken >> 3);
    stream->at = at < last ? at : last;
    stream->bits = (big_endian(stream->at) | 1) << (taken & 7);
}

/* Begin all streams. `last` is where eight bytes can still be read. */
static int open_streams(const sd_coded *coded, bit_stream *streams, const uint8_t **last) {
    uint64_t at = 0;
    for (uint32_t i = 0; i < SD_STREAMS; i++) {
        streams[i].at = coded->streams + at;
        streams[i].bits = 1;
        at += coded->stream_bytes[i];
        if (coded->n_bytes < SD_STREAM_SLACK || at > coded->n_bytes - SD_STREAM_SLACK)
            return 0;
    }
    *last = coded->streams + coded->n_bytes - SD_STREAM_SLACK;
    return 1;
}

/* Whether each stream ends in its last byte. */
static int ended(const sd_coded *coded, const bit_stream *streams) {
    const uint8_t *end = coded->streams;
    for (uint32_t i = 0; i < SD_STREAMS; i++) {
        end += coded->stream_bytes[i];
        if (streams[i].at + ((sd_trailing_zeros(streams[i].bits) + 7) >> 3) != end)
            return 0;
    }
    return 1;
}

/* The slots of one table: bits of the code, and above bit 8 the symbol. Codes are canonical:
 * shorter ones first, equally long ones in the order of their symbols. A table that is not used is
 * all zero. 0: these are not the lengths of a code. */
static int fill_table(const uint8_t *lengths, uint32_t n_symbols, uint16_t *slots) {
    uint32_t begin[SD_CODE_BITS + 1] = {0}, only = UINT32_MAX, used = 0;
    for (uint32_t symbol = 0; symbol < n_symbols; symbol++) {
        uint32_t length = lengths[symbol];
        if (!length)
            continue;
        if (only != UINT32_MAX || (length > SD_CODE_BITS && length != SD_ONLY_SYMBOL))
            return 0;
        if (length == SD_ONLY_SYMBOL)
            only = symbol;
        else
            begin[length] += SD_TABLE_SLOTS >> length;
    }
    for (uint32_t length = 1; length <= SD_CODE_BITS; length++) {
        uint32_t slots_of_length = begin[length];
        begin[length] = used;
        used += slots_of_length;
    }
    if (used ? used != SD_TABLE_SLOTS || only != UINT32_MAX : 0)
        return 0;
    for (uint32_t slot = 0; !used && slot < SD_TABLE_SLOTS; slot++)
        slots[slot] = (uint16_t)(only == UINT32_MAX ? 0 : only << 8);
    for (uint32_t symbol = 0; used && symbol < n_symbols; symbol++) {
        uint32_t length = lengths[symbol];
        uint16_t entry = (uint16_t)(symbol << 8 | length);
        for (uint32_t i = 0; length && i < SD_TABLE_SLOTS >> length; i++)
            slots[begin[length]++] = entry;
    }
    return 1;
}

/* Up to 256 columns: of each column that can be the next one, slots with columns in place of gaps,
 * 0 where a gap leads beyond the last column. The first table, of a row's first column, stands
 * last; table c is then that of what follows column c, and no column follows the last one. */
static int fill_columns(const sd_coded *coded, const sd_coded_rows *rows, uint16_t *slots) {
    uint16_t gaps[SD_TABLE_SLOTS];
    for (uint32_t next = 0; next < rows->dim; next++) {
        uint32_t table = next >> rows->shift, before = next ? (next - 1) >> rows->shift : table + 1;
        uint32_t place = next ? next - 1 : rows->dim - 1;
        uint16_t *columns = slots + ((size_t)place << SD_CODE_BITS);
        uint16_t beyond = (uint16_t)((rows->dim - next) << 8), begin = (uint16_t)(next << 8);
        int whole = beyond == 0; /* all 256 columns follow */
        if (table != before && !fill_table(coded->code_lengths + (size_t)table * coded->n_symbols,
                                           coded->n_symbols, gaps))
            return 0;
        for (uint32_t slot = 0; slot < SD_TABLE_SLOTS; slot++)
            columns[slot] = (uint16_t)(whole || gaps[slot] < beyond ? gaps[slot] + begin : 0);
    }
    return 1;
}

/* The next symbol of a stream, whose table is known. */
SD_INLINE uint32_t next_symbol(const uint16_t *slots, bit_stream *stream) {
    uint32_t entry = slots[stream->bits >> (64 - SD_CODE_BITS)];
    stream->bits <<= entry & 63;
    return entry >> 8;
}

/* One entry of each stream that has one: of rows with more than `e` entries. Where no row is
 * shorter than another, `all` is known to be 1. With `wide` tables are of gaps, and `next` is the
 * column after the one before; else tables are of columns, and `next` is the table's number. */
SD_INLINE void decode_step(int wide, int all, const sd_coded_rows *rows, uint32_t last_table,
                           const uint16_t *slots, bit_stream *streams, uint32_t *next,
                           const uint32_t *length, uint8_t *const *out, uint32_t e) {
    uint16_t nowhere;
    SD_UNROLL
    for (uint32_t i = 0; i < SD_STREAMS; i++) {
        uint32_t there = all || e < length[i];
        uint32_t table = wide ? sd_min(next[i] >> rows->shift, last_table) : next[i];
        bit_stream after = streams[i];
        uint32_t column = next_symbol(slots + ((size_t)table << SD_CODE_BITS), &after);
        if (wide) {
            uint32_t low = (uint32_t)(after.bits >> (64 - rows->low_bits));
            after.bits <<= rows->low_bits;
            column = (column << rows->low_bits | low) + next[i];
        }
        next[i] = wide ? column + 1 : column;
        uint8_t *to = there ? out[i] + (wide ? 2 * (size_t)e : e) : (uint8_t *)&nowhere;
        streams[i].bits = there ? after.bits : streams[i].bits;
        if (wide)
            *(uint16_t *)(void *)to = (uint16_t)column;
        else
            *to = (uint8_t)column;
    }
}

SD_INLINE int decode_rows(int wide, const sd_coded *coded, const sd_coded_rows *rows,
                          const uint16_t *slots, uint8_t *out) {
    /* Copies that `out` cannot overlap, so that they stay in registers. */
    const sd_coded_rows own = *rows;
    const uint32_t last_table = coded->n_tables - 1, first = wide ? 0 : own.dim - 1;
    const uint32_t steps = FILLED_BITS / (SD_CODE_BITS + (wide ? own.low_bits : 0));
    const uint8_t *last;
    bit_stream streams[SD_STREAMS];
    if (!open_streams(coded, streams, &last))
        return 0;
    for (uint64_t row = 0; row < own.n_rows; row += SD_STREAMS) {
        uint32_t next[SD_STREAMS], length[SD_STREAMS], least = UINT32_MAX, most = 0, e = 0;
        uint8_t *to[SD_STREAMS];
        SD_UNROLL
        for (uint32_t i = 0; i < SD_STREAMS; i++) {
            length[i] = row + i < own.n_rows ? own.lengths[row + i] : 0;
            least = sd_min(least, length[i]);
            most = length[i] > most ? length[i] : most;
            to[i] = out;
            out += wide ? 2 * length[i] : length[i];
            next[i] = first;
        }
        while (e < most) {
            uint32_t stop = most - e > steps ? e + steps : most;
            SD_UNROLL
            for (uint32_t i = 0; i < SD_STREAMS; i++)
                refill(&streams[i], last);
            for (uint32_t equal = sd_min(least, stop); e < equal; e++)
                decode_step(wide, 1, &own, last_table, slots, streams, next, length, to, e);
            for (; e < stop; e++)
                decode_step(wide, 0, &own, last_table, slots, streams, next, length, to, e);
        }
    }
    return ended(coded, streams);
}

static int all_below(const uint16_t *columns, uint64_t count, uint32_t dim) {
    uint16_t largest = 0;
    for (uint64_t i = 0; i < count; i++)
        largest = columns[i] > largest ? columns[i] : largest;
    return !count || largest < dim;
}

uint64_t sd_coded_scratch(uint32_t n_tables, uint32_t dim) {
    return (dim <= SD_MAX_BYTE_DIM ? dim : n_tables) * (uint64_t)SD_TABLE_SLOTS * sizeof(uint16_t);
}

int sd_decode_columns(const sd_coded *coded, const sd_coded_rows *rows, void *scratch, void *out) {
    uint16_t *slots = scratch;
    uint32_t n_tables = coded->n_tables, n_symbols = coded->n_symbols;
    if (n_tables < 1 || n_tables > SD_MAX_TABLES || n_symbols > 256 || rows->shift > 16 ||
        rows->dim < 1 || rows->dim > 65536)
        return 0;
    if (rows->dim <= SD_MAX_BYTE_DIM)
        return !rows->low_bits && (rows->dim - 1) >> rows->shift < n_tables &&
               fill_columns(coded, rows, slots) && decode_rows(0, coded, rows, slots, out);
    if (rows->low_bits < 1 || rows->low_bits > 8)
        return 0;
    for (uint32_t table = 0; table < n_tables; table++)
        if (!fill_table(coded->code_lengths + (size_t)table * n_symbols, n_symbols,
                        slots + ((size_t)table << SD_CODE_BITS)))
            return 0;
    uint64_t entries = 0;
    for (uint64_t row = 0; row < rows->n_rows; row++)
        entries += rows->lengths[row];
    return decode_rows(1, coded, rows, slots, out) && all_below(out, entries, rows->dim);
}

int sd_decode_bytes(const sd_coded *coded, uint64_t count, void *scratch, uint8_t *out) {
    enum { STEPS = FILLED_BITS / SD_CODE_BITS };
    uint16_t *slots = scratch;
    const uint8_t *last;
    bit_stream streams[SD_STREAMS];
    uint64_t done = 0;
    if (coded->n_tables != 1 || coded->n_symbols > 256 ||
        !fill_table(coded->code_lengths, coded->n_symbols, slots) ||
        !open_streams(coded, streams, &last))
        return 0;
    for (; count - done >= STEPS * SD_STREAMS; done += STEPS * SD_STREAMS) {
        SD_UNROLL
        for (uint32_t i = 0; i < SD_STREAMS; i++)
            refill(&streams[i], last);
        SD_UNROLL
        for (uint32_t step = 0; step < STEPS; step++) {
            SD_UNROLL
            for (uint32_t i = 0; i < SD_STREAMS; i++)
                out[done + step * SD_STREAMS + i] = (uint8_t)next_symbol(slots, &streams[i]);
        }
    }
    for (; done < count; done++) {
        refill(&streams[done % SD_STREAMS], last);
        out[done] = (uint8_t)next_symbol(slots, &streams[done % SD_STREAMS]);
    }
    return ended(coded, streams);
}
