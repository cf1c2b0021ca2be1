/* CRC-32 (IEEE 802.3). */
#include "sd_internal.h"

#ifdef __wasm__
/* A byte a step, with a table made on the stack: a module that travels saves its 8 KB. */
uint32_t sd_crc32(uint32_t crc, const uint8_t *bytes, uint64_t count) {
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (0xEDB88320u & (0 - (table[i] & 1)));
    }
    crc = ~crc;
    for (; count; count--, bytes++)
        crc = table[(crc ^ *bytes) & 255] ^ (crc >> 8);
    return ~crc;
}
#else
/* Eight bytes a step. */
uint32_t sd_crc32(uint32_t crc, const uint8_t *bytes, uint64_t count) {
    static const uint32_t tables[8][256] = {
#include "sd_crc32_tables.inc"
    };
    crc = ~crc;
    for (; count >= 8; count -= 8, bytes += 8) {
        uint32_t low = crc ^ sd_u32(bytes), high = sd_u32(bytes + 4);
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
              tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
              tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; count; count--, bytes++)
        crc = tables[0][(crc ^ *bytes) & 255] ^ (crc >> 8);
    return ~crc;
}
#endif
