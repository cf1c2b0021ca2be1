/* libFuzzer target for the decoder of the compact coding (docs/compact.md).
 *
 * Byte 0 chooses what is decoded, bytes 1 to 3 the shape; from there on lengths, frequencies, lane
 * sizes, low bits and words are cut from the input, each copied to a block of exactly its size, so
 * that a read of one byte beyond it is caught. Frequencies are made to add up to 4,096 where byte 0
 * says so, which lets mutations get past the first gate.
 */
#include "sd_compact.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t *input;
static size_t left;

/* A block of `count` bytes of the input, zeros where it has no more. */
static void *cut(size_t count) {
    uint8_t *block = calloc(count ? count : 1, 1);
    size_t there = count < left ? count : left;
    if (!block)
        abort();
    if (there)
        memcpy(block, input, there);
    input += there;
    left -= there;
    return block;
}

static void add_up(uint16_t *frequencies, uint32_t n_symbols) {
    uint32_t rest = SD_TABLE_SLOTS;
    for (uint32_t symbol = 0; symbol < n_symbols; symbol++) {
        uint32_t most = symbol + 1 == n_symbols ? rest : frequencies[symbol] % (rest + 1);
        frequencies[symbol] = (uint16_t)most;
        rest -= most;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8)
        return 0;
    input = data + 8;
    left = size - 8;
    sd_lanes lanes = {.gaps = data[0] & 1,
                      .n_tables = 1 + data[1] % 16u,
                      .n_symbols = 1 + data[2],
                      .n_rows = data[3],
                      .shift = data[4] % 16u,
                      .low_bits = data[0] & 2 ? data[5] % 5u : 0,
                      .limit = 1 + (data[6] | data[7] << 8 & 0x0F00)};
    uint16_t *lengths = cut(2 * lanes.n_rows);
    uint64_t entries = 0;
    for (uint64_t row = 0; row < lanes.n_rows; row++)
        entries += lengths[row] %= data[0] & 4 ? 4097 : 17;
    uint16_t *frequencies = cut(2 * (size_t)lanes.n_tables * lanes.n_symbols);
    for (uint32_t table = 0; data[0] & 8 && table < lanes.n_tables; table++)
        add_up(frequencies + (size_t)table * lanes.n_symbols, lanes.n_symbols);
    uint32_t *lane_words = cut(4 * sd_lane_count(entries));
    uint8_t *low = cut(lanes.low_bits ? entries : 0);
    lanes.n_words = left / 2;
    if (data[0] & 16 && sd_lane_count(entries) == 1)
        lane_words[0] = (uint32_t)lanes.n_words;
    uint8_t *words = cut(2 * lanes.n_words);
    uint16_t *out = malloc(2 * entries + 1);
    void *scratch = malloc(sd_lane_scratch(lanes.n_tables));
    if (!out || !scratch)
        abort();
    lanes.lengths = lengths, lanes.frequencies = frequencies, lanes.lane_words = lane_words;
    lanes.low = low, lanes.words = words;
    if (sd_decode_lanes(&lanes, scratch, out))
        for (uint64_t entry = 0; entry < entries; entry++)
            if (out[entry] >= lanes.limit)
                abort();
    free(lengths), free(frequencies), free(lane_words), free(low), free(words), free(out),
        free(scratch);
    return 0;
}
