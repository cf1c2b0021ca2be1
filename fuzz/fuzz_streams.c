/* libFuzzer target for the decoder of the compact coding (docs/compact.md).
 *
 * Byte 0 chooses what is decoded, bytes 1 to 7 the shape; from there on lengths of rows and codes,
 * sizes of streams and streams are cut from the input, each copied to a block of exactly its size,
 * so that a read of one byte beyond it is caught. Codes are made complete where byte 0 says so,
 * which lets mutations get past the first gate.
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

/* Lengths of codes that fill a table: each takes its length if there is room for it, and the last
 * ones what is left. */
static void complete(uint8_t *lengths, uint32_t n_symbols) {
    uint32_t rest = SD_TABLE_SLOTS;
    for (uint32_t symbol = 0; symbol < n_symbols; symbol++) {
        uint32_t length = lengths[symbol] % (SD_CODE_BITS + 1);
        uint32_t slots = length ? SD_TABLE_SLOTS >> length : 0;
        lengths[symbol] = slots <= rest ? (uint8_t)length : 0;
        rest -= slots <= rest ? slots : 0;
    }
    for (uint32_t symbol = n_symbols; rest && symbol-- > 0;) {
        uint32_t slots = SD_TABLE_SLOTS / 2, length = 1;
        for (; slots > rest; slots /= 2)
            length++;
        if (!lengths[symbol]) {
            lengths[symbol] = (uint8_t)length;
            rest -= slots;
        }
    }
}

/* Eight sizes that add up to no more than there is, or, without `fit`, any. */
static void cut_sizes(uint32_t *sizes, uint64_t n_bytes, int fit) {
    uint64_t rest = n_bytes > SD_STREAM_SLACK ? n_bytes - SD_STREAM_SLACK : 0;
    for (uint32_t i = 0; fit && i < SD_STREAMS; i++) {
        sizes[i] = (uint32_t)(sizes[i] % (rest + 1));
        rest -= sizes[i];
    }
}

static void decode_rows(const uint8_t *data, sd_coded *coded, uint8_t *code_lengths) {
    sd_coded_rows rows = {
        .n_rows = data[3],
        .dim = 1 + (data[6] | (data[7] << 8 & 0x0F00u)),
        .shift = data[0] & 64 ? 0 : data[4] % 16u,
        .low_bits = data[0] & 2 ? data[5] % 5u : 0,
    };
    if (data[0] & 128)
        rows.dim = coded->n_tables;
    uint16_t *lengths = cut(2 * rows.n_rows);
    uint64_t entries = 0;
    for (uint64_t row = 0; row < rows.n_rows; row++)
        entries += lengths[row] %= data[0] & 4 ? 257 : 17;
    rows.lengths = lengths;
    uint8_t *streams = cut(left);
    coded->streams = streams;
    for (uint32_t table = 0; data[0] & 8 && table < coded->n_tables; table++)
        complete(code_lengths + (size_t)table * coded->n_symbols, coded->n_symbols);
    size_t width = rows.dim > 256 ? 2 : 1;
    uint8_t *out = malloc(width * entries + 1);
    void *scratch = malloc(sd_coded_scratch(coded->n_tables, rows.dim));
    if (!out || !scratch)
        abort();
    if (sd_decode_columns(coded, &rows, scratch, out))
        for (uint64_t entry = 0; entry < entries; entry++)
            if ((width == 1 ? out[entry] : ((uint16_t *)(void *)out)[entry]) >= rows.dim)
                abort();
    free(lengths), free(streams), free(out), free(scratch);
}

static void decode_flat(const uint8_t *data, sd_coded *coded, uint8_t *code_lengths) {
    uint64_t count = data[3] | data[4] << 8;
    uint8_t *streams = cut(left);
    uint8_t *out = malloc(count + 1);
    void *scratch = malloc(sd_coded_scratch(1, 1));
    if (!out || !scratch)
        abort();
    if (data[0] & 8)
        complete(code_lengths, coded->n_symbols);
    coded->streams = streams;
    sd_decode_bytes(coded, count, scratch, out);
    free(streams), free(out), free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8)
        return 0;
    input = data + 8;
    left = size - 8;
    sd_coded coded = {.n_tables = data[0] & 1 ? 1 + data[1] % 16u : 1, .n_symbols = 1 + data[2]};
    if (data[0] & 32)
        coded.n_symbols = 1 + data[2] % 16u;
    uint8_t *code_lengths = cut((size_t)coded.n_tables * coded.n_symbols);
    uint32_t *sizes = cut(4 * SD_STREAMS);
    coded.code_lengths = code_lengths;
    coded.stream_bytes = sizes;
    /* The streams are what is left behind the lengths of rows. */
    size_t lengths = data[0] & 1 ? 2 * (size_t)data[3] : 0;
    coded.n_bytes = left > lengths ? left - lengths : 0;
    cut_sizes(sizes, coded.n_bytes, data[0] & 16);
    if (data[0] & 1)
        decode_rows(data, &coded, code_lengths);
    else
        decode_flat(data, &coded, code_lengths);
    free(code_lengths), free(sizes);
    return 0;
}
