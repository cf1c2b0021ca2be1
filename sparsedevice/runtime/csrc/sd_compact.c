/* Decoding the columns and values of a compact file: asymmetric numeral systems in lanes.
 *
 * A lane's state x is in 2^16 ... 2^32 - 1. Its lowest 12 bits are a slot of the symbol's table;
 * the symbol of the slot, its frequency and the slot's place among the symbol's slots give the next
 * state.
 */
#include "sd_compact.h"
#include "sd_internal.h"

#define SLOT_MASK (SD_TABLE_SLOTS - 1)
#define LANE_STATE 65536u
/* Lanes that are decoded in turn, so that one's table look-up does not wait for another's. */
#define SIDE_BY_SIDE 6u
#ifdef __clang__
#define SD_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define SD_UNROLL _Pragma("GCC unroll 16")
#else
#define SD_UNROLL
#endif

typedef struct {
    const uint8_t *at, *end; /* words left */
    uint32_t x;
    uint64_t entry, stop;
    const uint16_t *length; /* of the row */
    uint32_t left;          /* entries left in the row */
    uint32_t next;          /* the column after the last one; 0 at the beginning of a row */
    uint32_t overrun;       /* whether a word was missing */
} lane_state;

uint64_t sd_lane_count(uint64_t entries) {
    uint64_t lanes = entries / SD_LANE_ENTRIES;
    return lanes < 1 ? 1 : lanes > SD_MAX_LANES ? SD_MAX_LANES : lanes;
}

/* Scratch: the symbol of every slot of every table, and of every symbol its frequency and first
 * slot. */
typedef struct {
    uint8_t *symbols;  /* n_tables x 4,096 */
    uint32_t *numbers; /* n_tables x 256: frequency, and above bit 16 the first slot */
} slot_tables;

static int fill_tables(const sd_lanes *lanes, const slot_tables *tables) {
    for (uint64_t table = 0; table < lanes->n_tables; table++) {
        const uint16_t *frequencies = lanes->frequencies + table * lanes->n_symbols;
        uint8_t *symbols = tables->symbols + table * SD_TABLE_SLOTS;
        uint32_t *numbers = tables->numbers + table * 256;
        uint32_t used = 0;
        for (uint32_t symbol = 0; symbol < 256; symbol++) {
            uint32_t frequency = symbol < lanes->n_symbols ? frequencies[symbol] : 0;
            if (frequency > SD_TABLE_SLOTS - used)
                return 0;
            numbers[symbol] = frequency | used << 16;
            for (uint32_t end = used + frequency; used < end; used++)
                symbols[used] = (uint8_t)symbol;
        }
        if (used != 0 && used != SD_TABLE_SLOTS)
            return 0;
        for (; used < SD_TABLE_SLOTS; used++)
            symbols[used] = 0;
    }
    return 1;
}

SD_INLINE void begin_row(lane_state *lane) {
    while (!lane->left) {
        lane->left = *lane->length++;
        lane->next = 0;
    }
}

/* The next entry of a lane, which has one. `gaps` and `low_bits` are those of `lanes`, known where
 * this is inlined. */
SD_INLINE void decode_entry(const sd_lanes *lanes, int gaps, uint32_t low_bits,
                            const slot_tables *tables, uint16_t *out, lane_state *lane) {
    uint32_t table = 0;
    if (gaps) {
        begin_row(lane);
        lane->left--;
        table = sd_min(lane->next >> lanes->shift, lanes->n_tables - 1);
    }
    uint32_t slot = lane->x & SLOT_MASK;
    uint32_t result = tables->symbols[table * SD_TABLE_SLOTS + slot];
    uint32_t numbers = tables->numbers[table * 256 + result];
    uint32_t x = (numbers & 0xFFFF) * (lane->x >> 12) + slot - (numbers >> 16);
    if (x < LANE_STATE) {
        x <<= 16;
        if (lane->at < lane->end) {
            x |= (uint32_t)(lane->at[0] | lane->at[1] << 8);
            lane->at += 2;
        } else
            lane->overrun = 1;
    }
    lane->x = x;
    if (gaps) {
        result <<= low_bits;
        if (low_bits)
            result |= lanes->low[lane->entry];
        result += lane->next;
        lane->next = result + 1;
    }
    out[lane->entry++] = (uint16_t)result;
}

/* Decode `rows` parts of rows of `run` entries each in every lane, for which there are words enough
 * wherever lanes end; where there are two or more, they are whole rows. No branch depends on what
 * is decoded: a quarter of them would be foreseen wrongly. */
SD_INLINE void decode_run(const sd_lanes *lanes, int gaps, uint32_t low_bits,
                          const slot_tables *tables, uint16_t *out, lane_state *lane, uint32_t rows,
                          uint32_t run) {
    const uint32_t shift = lanes->shift, last = lanes->n_tables - 1;
    uint32_t x[SIDE_BY_SIDE], next[SIDE_BY_SIDE];
    const uint8_t *at[SIDE_BY_SIDE], *low[SIDE_BY_SIDE];
    uint16_t *to[SIDE_BY_SIDE];
    SD_UNROLL
    for (uint32_t i = 0; i < SIDE_BY_SIDE; i++) {
        x[i] = lane[i].x;
        at[i] = lane[i].at;
        next[i] = lane[i].next;
        to[i] = out + lane[i].entry;
        low[i] = low_bits ? lanes->low + lane[i].entry : NULL;
    }
    for (uint32_t j = 0, row_end = run; j < rows * run; j++) {
        if (j == row_end) {
            row_end += run;
            SD_UNROLL
            for (uint32_t i = 0; i < SIDE_BY_SIDE; i++)
                next[i] = 0;
        }
        SD_UNROLL
        for (uint32_t i = 0; i < SIDE_BY_SIDE; i++) {
            uint32_t table = gaps ? sd_min(next[i] >> shift, last) : 0;
            uint32_t slot = x[i] & SLOT_MASK;
            uint32_t result = tables->symbols[table * SD_TABLE_SLOTS + slot];
            uint32_t numbers = tables->numbers[table * 256 + result];
            uint32_t y = (numbers & 0xFFFF) * (x[i] >> 12) + slot - (numbers >> 16);
            uint32_t filled = y << 16 | (uint32_t)(at[i][0] | at[i][1] << 8);
            uint32_t empty = y < LANE_STATE, all = 0u - empty;
            if (gaps) { /* GCC would make a branch of the other form here */
                at[i] += 2 & all;
                x[i] = y ^ ((y ^ filled) & all);
            } else {
                at[i] += empty ? 2 : 0;
                x[i] = empty ? filled : y;
            }
            if (gaps) {
                result = (result << low_bits) + next[i] + (low_bits ? low[i][j] : 0);
                next[i] = result + 1;
            }
            to[i][j] = (uint16_t)result;
        }
    }
    SD_UNROLL
    for (uint32_t i = 0; i < SIDE_BY_SIDE; i++) {
        lane[i].x = x[i];
        lane[i].at = at[i];
        lane[i].next = next[i];
        lane[i].entry += rows * run;
        lane[i].left -= gaps ? run : 0; /* of the last row */
        lane[i].length += rows - 1;
    }
}

/* How many rows from the ones that begin now on have `length` entries in every lane. */
SD_INLINE uint32_t equal_rows(const lane_state *lane, uint32_t length, uint32_t most) {
    for (uint32_t i = 0; i < SIDE_BY_SIDE; i++) {
        uint32_t rows = lane[i].left == length && !lane[i].next;
        while (rows && rows < most && lane[i].length[rows - 1] == length)
            rows++;
        most = rows;
    }
    return most;
}

/* Decode `count` lanes: side by side as far as all of them have entries, and an entry for every
 * word that may follow in any lane; then each to its own end. */
SD_INLINE int decode_group(const sd_lanes *lanes, int gaps, uint32_t low_bits,
                           const slot_tables *tables, uint16_t *out, const lane_state *group,
                           uint32_t count) {
    /* Copies that `out` cannot overlap, so that they stay in registers. */
    const sd_lanes own = *lanes;
    const slot_tables own_tables = *tables;
    const uint8_t *end = own.words + 2 * own.n_words;
    lane_state lane[SIDE_BY_SIDE];
    for (uint32_t i = 0; i < count; i++)
        lane[i] = group[i];
    while (count == SIDE_BY_SIDE) {
        uint64_t steps = UINT32_MAX;
        for (uint32_t i = 0; i < SIDE_BY_SIDE; i++) {
            uint64_t entries = lane[i].stop - lane[i].entry;
            uint64_t words = (uint64_t)(end - lane[i].at) / 2; /* each entry looks at one */
            entries = entries < words ? entries : words;
            steps = steps < entries ? steps : entries;
        }
        if (!steps)
            break;
        for (uint32_t left = (uint32_t)steps, rows, run; left; left -= rows * run) {
            rows = 1;
            run = left;
            for (uint32_t i = 0; gaps && i < SIDE_BY_SIDE; i++) { /* to the end of a row */
                begin_row(&lane[i]);
                run = sd_min(run, lane[i].left);
            }
            if (gaps && left / run > 1) {
                rows = equal_rows(lane, run, left / run);
                rows = rows ? rows : 1;
            }
            decode_run(&own, gaps, low_bits, &own_tables, out, lane, rows, run);
        }
    }
    int good = 1;
    for (uint32_t i = 0; i < count; i++) {
        while (lane[i].entry < lane[i].stop)
            decode_entry(&own, gaps, low_bits, &own_tables, out, &lane[i]);
        good &= lane[i].x == LANE_STATE && lane[i].at == lane[i].end && !lane[i].overrun;
    }
    uint32_t largest = 0; /* lanes of a group follow one another */
    for (uint64_t entry = group[0].entry; entry < lane[count - 1].stop; entry++)
        largest = out[entry] > largest ? out[entry] : largest;
    return good && largest < own.limit;
}

/* The loop once for each shape of entry. */
static int decode_side_by_side(const sd_lanes *lanes, const slot_tables *tables, uint16_t *out,
                               const lane_state *group, uint32_t count) {
    if (!lanes->gaps)
        return decode_group(lanes, 0, 0, tables, out, group, count);
    if (!lanes->low_bits)
        return decode_group(lanes, 1, 0, tables, out, group, count);
    return decode_group(lanes, 1, lanes->low_bits, tables, out, group, count);
}

/* First row whose entries begin at or after an even share of all entries, from `*row` on; `*entry`
 * is where it begins. */
static void skip_rows(const sd_lanes *lanes, uint64_t share, uint64_t *row, uint64_t *entry) {
    while (*row < lanes->n_rows && *entry < share)
        *entry += lanes->lengths[(*row)++];
}

uint64_t sd_lane_scratch(uint32_t n_tables) {
    return n_tables * (uint64_t)(SD_TABLE_SLOTS + 256 * sizeof(uint32_t));
}

int sd_decode_lanes(const sd_lanes *lanes, void *scratch, uint16_t *out) {
    slot_tables own, *tables = &own;
    if (lanes->n_tables < 1 || lanes->n_tables > SD_MAX_TABLES || lanes->n_symbols > 256 ||
        lanes->shift > 31 || lanes->low_bits > 8)
        return 0;
    own.numbers = scratch;
    own.symbols = (uint8_t *)(own.numbers + lanes->n_tables * 256u);
    if (!fill_tables(lanes, tables))
        return 0;
    uint64_t entries = 0, row = 0, entry = 0, word = 0;
    for (uint64_t i = 0; i < lanes->n_rows; i++)
        entries += lanes->lengths[i];
    uint64_t count = sd_lane_count(entries);
    lane_state group[SIDE_BY_SIDE];
    uint32_t in_group = 0;
    int good = 1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t n_words = lanes->lane_words[i];
        if (n_words < 2 || n_words > lanes->n_words - word)
            return 0;
        const uint8_t *at = lanes->words + 2 * word;
        word += n_words;
        lane_state *lane = &group[in_group++];
        lane->at = at + 4;
        lane->end = at + 2 * n_words;
        lane->x = at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
        lane->entry = entry;
        lane->length = lanes->lengths + row;
        lane->left = lane->next = lane->overrun = 0;
        /* count is at most 1,024, so this does not overflow below 2^54 entries. */
        skip_rows(lanes, (i + 1) * entries / count, &row, &entry);
        lane->stop = entry;
        if (in_group == SIDE_BY_SIDE || i + 1 == count) {
            good &= decode_side_by_side(lanes, tables, out, group, in_group);
            in_group = 0;
        }
    }
    return good && word == lanes->n_words && entry == entries;
}
