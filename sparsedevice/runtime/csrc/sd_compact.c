/* Decoding the columns and values of a compact file: asymmetric numeral systems in lanes.
 *
 * A lane's state x is in 2^16 ... 2^32 - 1. Its lowest 12 bits are a slot of the symbol's table;
 * the symbol of the slot, its frequency and the slot's place among the symbol's slots give the next
 * state.
 */
#include "sd_compact.h"

#define SLOT_MASK (SD_TABLE_SLOTS - 1)
#define LANE_STATE 65536u
/* Lanes that are decoded in turn, so that one's table look-up does not wait for another's. */
#define SIDE_BY_SIDE 4u

typedef struct {
    const uint8_t *at, *end; /* words left */
    uint32_t x;
    uint64_t entry, stop;
    const uint16_t *length; /* of the row */
    uint32_t left;          /* entries left in the row */
    uint32_t next;          /* the column after the last one; 0 at the beginning of a row */
    uint32_t overrun;       /* words that were missing */
    uint32_t outside;       /* whether a result was not below the limit */
} lane_state;

uint64_t sd_lane_count(uint64_t entries) {
    uint64_t lanes = entries / SD_LANE_ENTRIES;
    return lanes < 1 ? 1 : lanes > SD_MAX_LANES ? SD_MAX_LANES : lanes;
}

/* A slot: symbol in bits 0-7, frequency - 1 in bits 8-19, place among the symbol's slots above. */
static int fill_slots(const sd_lanes *lanes, uint32_t *slots) {
    for (uint64_t table = 0; table < lanes->n_tables; table++) {
        const uint16_t *frequencies = lanes->frequencies + table * lanes->n_symbols;
        uint32_t *slot = slots + table * SD_TABLE_SLOTS;
        uint32_t used = 0;
        for (uint32_t symbol = 0; symbol < lanes->n_symbols; symbol++) {
            uint32_t frequency = frequencies[symbol];
            if (frequency > SD_TABLE_SLOTS - used)
                return 0;
            for (uint32_t place = 0; place < frequency; place++)
                slot[used++] = symbol | (frequency - 1) << 8 | place << 20;
        }
        if (used != 0 && used != SD_TABLE_SLOTS)
            return 0;
        for (; used < SD_TABLE_SLOTS; used++)
            slot[used] = 0;
    }
    return 1;
}

/* The next entry of a lane. */
static inline void decode_entry(const sd_lanes *lanes, const uint32_t *slots, uint16_t *out,
                                lane_state *lane) {
    uint32_t table = 0;
    if (lanes->gaps) {
        while (!lane->left) {
            lane->left = *lane->length++;
            lane->next = 0;
        }
        lane->left--;
        table = lane->next >> lanes->shift;
        if (table >= lanes->n_tables)
            table = lanes->n_tables - 1;
    }
    uint32_t slot = slots[table * SD_TABLE_SLOTS + (lane->x & SLOT_MASK)];
    uint32_t x = ((slot >> 8 & SLOT_MASK) + 1) * (lane->x >> 12) + (slot >> 20);
    if (x < LANE_STATE) {
        x <<= 16;
        if (lane->at != lane->end) {
            x |= (uint32_t)(lane->at[0] | lane->at[1] << 8);
            lane->at += 2;
        } else
            lane->overrun = 1;
    }
    lane->x = x;
    uint32_t result = slot & 255;
    if (lanes->gaps) {
        result <<= lanes->low_bits;
        if (lanes->low_bits)
            result |= lanes->low[lane->entry];
        result += lane->next;
        lane->next = result + 1;
    }
    lane->outside |= (uint32_t)(result >= lanes->limit);
    out[lane->entry++] = (uint16_t)result;
}

/* Decode `count` lanes side by side to the end of the shortest, then each to its own. */
static int decode_side_by_side(const sd_lanes *lanes, const uint32_t *slots, uint16_t *out,
                               lane_state *group, uint32_t count) {
    if (count == SIDE_BY_SIDE) {
        lane_state a = group[0], b = group[1], c = group[2], d = group[3];
        while (a.entry < a.stop && b.entry < b.stop && c.entry < c.stop && d.entry < d.stop) {
            decode_entry(lanes, slots, out, &a);
            decode_entry(lanes, slots, out, &b);
            decode_entry(lanes, slots, out, &c);
            decode_entry(lanes, slots, out, &d);
        }
        group[0] = a, group[1] = b, group[2] = c, group[3] = d;
    }
    int good = 1;
    for (uint32_t i = 0; i < count; i++) {
        lane_state lane = group[i];
        while (lane.entry < lane.stop)
            decode_entry(lanes, slots, out, &lane);
        good &= lane.x == LANE_STATE && lane.at == lane.end && !lane.overrun && !lane.outside;
    }
    return good;
}

/* First row whose entries begin at or after an even share of all entries, from `*row` on; `*entry`
 * is where it begins. */
static void skip_rows(const sd_lanes *lanes, uint64_t share, uint64_t *row, uint64_t *entry) {
    while (*row < lanes->n_rows && *entry < share)
        *entry += lanes->lengths[(*row)++];
}

int sd_decode_lanes(const sd_lanes *lanes, uint32_t *slots, uint16_t *out) {
    if (lanes->n_tables < 1 || lanes->n_tables > SD_MAX_TABLES || lanes->n_symbols > 256 ||
        lanes->shift > 31 || lanes->low_bits > 8 || !fill_slots(lanes, slots))
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
        lane->left = lane->next = lane->overrun = lane->outside = 0;
        /* count is at most 1,024, so this does not overflow below 2^54 entries. */
        skip_rows(lanes, (i + 1) * entries / count, &row, &entry);
        lane->stop = entry;
        if (in_group == SIDE_BY_SIDE || i + 1 == count) {
            good &= decode_side_by_side(lanes, slots, out, group, in_group);
            in_group = 0;
        }
    }
    return good && word == lanes->n_words && entry == entries;
}
