/* CRC-32 (IEEE 802.3). */
#include "sd_internal.h"

#ifdef __wasm__
/* Half a byte a step: a module that travels saves the 8 KB of tables. */
uint32_t sd_crc32(uint32_t crc, const uint8_t *bytes, uint64_t count) {
    static const uint32_t table[16] = {0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC,
                                       0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
                                       0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
                                       0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    crc = ~crc;
    for (; count; count--, bytes++) {
        crc = table[(crc ^ *bytes) & 15] ^ (crc >> 4);
        crc = table[(crc ^ (*bytes >> 4)) & 15] ^ (crc >> 4);
    }
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
