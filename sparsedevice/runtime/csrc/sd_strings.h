/* Lists of strings as they lie in a file, shared by the look-up and the verification. */
#ifndef SD_STRINGS_H
#define SD_STRINGS_H

#include "sd_internal.h"

#define SD_LIST_HEAD 20u
#define SD_TEXT_BLOCK 8u
#define SD_NUMBER_BLOCK 16u
#define SD_MAX_SYMBOLS 3839u
#define SD_MAX_SYMBOL_BYTES 64u
#define SD_MAX_COLUMNS 64u
#define SD_MAX_DIGITS 10u
#define SD_MAX_START_WIDTH 40u
/* What a symbol is made of: symbols, bytes from SD_LITERAL on, or nothing. */
#define SD_LITERAL 0xF00u
#define SD_NOTHING 0xEFFu
/* The literal that ends a string; no UTF-8 has this byte. */
#define SD_END 255u

enum { SD_AS_TEXT = 0, SD_AS_NUMBERS = 1, SD_AS_COLUMNS = 3 };

typedef struct sd_list {
    const uint8_t *starts, *symbols, *codes, *index;
    uint64_t bits; /* of all codes */
    uint32_t n, coding, start_width, slot_width;
    uint32_t shift;       /* log2 of the strings between two starts */
    uint32_t width, more; /* bits of a code, and how many more a long one has */
    uint32_t first, rest; /* bits of a number in blocks, 0 where none is; and of what follows it */
    uint32_t n_symbols, first_final, n_final;
    uint32_t n_short; /* symbols of short codes, columns, or digits that a number has at least */
} sd_list;

/* The list whose starts are section `first`; sd_open has checked that it fits its sections. */
void sd_open_list(const sd_model *model, uint32_t first, sd_list *list);

/* Whether the sections of a list, if it is there, have the lengths that their heads say. */
int sd_list_fits(const sd_model *model, uint32_t first);

/* Bytes of so many bits, and eight more, so that eight can be read from any bit on. */
static inline uint64_t sd_bit_bytes(uint64_t bits) { return ((bits + 7) >> 3) + 8; }

/* Up to 56 bits from bit `at` on. */
static inline uint64_t sd_bits(const uint8_t *bytes, uint64_t at, uint32_t width) {
    return sd_u64(bytes + (at >> 3)) >> (at & 7) & (((uint64_t)1 << width) - 1);
}

/* Row in a slot of the index; n or more where it is empty. */
static inline uint32_t sd_slot(const sd_list *list, uint64_t slot) {
    return (uint32_t)sd_bits(list->index + 4, slot * list->slot_width, list->slot_width);
}

/* The symbol of the code at bit *at, which moves behind it. Numbers of short codes come first. */
static inline uint32_t sd_code(const sd_list *list, uint64_t *at) {
    uint32_t bits = (uint32_t)sd_bits(list->codes, *at, list->width + list->more);
    uint32_t code = bits & ((1u << list->width) - 1);
    *at += list->width;
    if (code < list->n_short)
        return code;
    *at += list->more;
    return list->n_short + ((code - list->n_short) << list->more) + (bits >> list->width);
}

/* Whether a symbol ends a string. */
static inline int sd_final(const sd_list *list, uint32_t symbol) {
    return symbol - list->first_final < list->n_final;
}

/* Of a symbol: its two parts, the left one in the low 12 bits. */
static inline uint32_t sd_entry(const sd_list *list, uint32_t symbol) {
    return sd_u32(list->symbols + 3 * symbol) & 0xFFFFFFu;
}

/* Of columns: where the alphabet begins in the table (16 bits), the bits of the number that begins
 * here, 0 where one goes on (8 bits), and how many letters the alphabet has, less one. */
static inline uint32_t sd_column(const sd_list *list, uint32_t column) {
    return sd_u32(list->symbols + 4 * column);
}

static inline uint32_t sd_column_bits(uint32_t column) { return column >> 16 & 255; }

static inline uint32_t sd_column_size(uint32_t column) { return (column >> 24) + 1; }

/* Where a string is being read. */
typedef struct sd_chars {
    uint64_t at;     /* a bit; of numbers: the row */
    uint32_t number; /* of columns in blocks: the first one */
    uint32_t column; /* of columns: those read */
    int ended;       /* the last part had the end of the string */
    uint32_t count;
    uint8_t bytes[SD_MAX_SYMBOL_BYTES]; /* the last part, its end left out */
} sd_chars;

void sd_begin(const sd_list *list, uint32_t row, sd_chars *chars);

/* Read the next part of a string; 0 where there is none, be it that the string has ended or that
 * the bytes of the file make no sense. */
int sd_next(const sd_list *list, sd_chars *chars);

/* Checks of a list of strings, and of one with an id index; `first` is the kind of its starts. */
sd_status sd_check_strings(const sd_model *model, uint32_t first);
sd_status sd_check_ids(const sd_model *model, uint32_t first);

int sd_is_utf8(const uint8_t *p, uint64_t count);

#endif
