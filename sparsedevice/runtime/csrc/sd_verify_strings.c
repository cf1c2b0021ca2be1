/* The promises of docs/format.md about strings and the id index. */
#include "sd_strings.h"

/* UTF-8, byte after byte: how many bytes the character still has, and what the next one may be. */
typedef struct sd_utf8 {
    uint32_t left, low, high;
} sd_utf8;

static int take_byte(sd_utf8 *utf8, uint32_t byte) {
    if (utf8->left) {
        int good = byte >= utf8->low && byte <= utf8->high;
        utf8->left--;
        utf8->low = 0x80;
        utf8->high = 0xBF;
        return good;
    }
    utf8->low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    utf8->high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    utf8->left = byte < 0x80 ? 0 : byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    return byte < 0x80 || (byte >= 0xC2 && byte <= 0xF4);
}

int sd_is_utf8(const uint8_t *p, uint64_t count) {
    sd_utf8 utf8 = {0};
    for (uint64_t i = 0; i < count; i++)
        if (!take_byte(&utf8, p[i]))
            return 0;
    return !utf8.left;
}

static int all_zero(const uint8_t *p, uint64_t count) {
    while (count)
        if (p[--count])
            return 0;
    return 1;
}

/* The bits after the last one, in its byte and in the eight bytes that follow. */
static int rest_is_zero(const uint8_t *bytes, uint64_t bits) {
    return !(bits & 7 && bytes[bits >> 3] >> (bits & 7)) && all_zero(bytes + ((bits + 7) >> 3), 8);
}

/* Whether a part of a symbol ends a string. */
static int ends(const sd_list *list, uint32_t part) {
    return part >= SD_LITERAL ? part == SD_LITERAL + SD_END : sd_final(list, part);
}

/* Symbols stand for one byte or for two parts, of 64 bytes at most; the end is the last byte of
 * those that end a string, and is in no others. */
static int check_symbols(const sd_list *list) {
    uint8_t bytes[SD_MAX_SYMBOLS] = {0}; /* 0: not known yet */
    uint32_t known = 0, before = 1, n = list->n_symbols;
    while (known != n && before != known) {
        before = known;
        for (uint32_t symbol = 0; symbol < n; symbol++) {
            uint32_t left = sd_entry(list, symbol) & 4095u, right = sd_entry(list, symbol) >> 12;
            uint32_t last = right == SD_NOTHING ? left : right;
            if (bytes[symbol])
                continue;
            if ((left >= n && left < SD_LITERAL) || (last >= n && last < SD_LITERAL) ||
                (right == SD_NOTHING ? left < SD_LITERAL : ends(list, left)) ||
                ends(list, last) != sd_final(list, symbol))
                return 0;
            uint32_t first = left < SD_LITERAL ? bytes[left] : 1;
            uint32_t second = right == SD_NOTHING ? 0 : right < SD_LITERAL ? bytes[right] : 1;
            if (!first || (!second && right != SD_NOTHING))
                continue;
            if (first + second > SD_MAX_SYMBOL_BYTES)
                return 0;
            bytes[symbol] = (uint8_t)(first + second);
            known++;
        }
    }
    return known == n;
}

/* Numbers take the bits of a string, and no more than 32 each, those in blocks the bits of the
 * first one; alphabets lie in the table. */
static int check_columns(const sd_list *list) {
    uint32_t width = 0;
    for (uint32_t i = 0; i < list->n_short; i++) {
        uint32_t column = sd_column(list, i);
        if (sd_column_bits(column) > 32 ||
            (column & 0xFFFFu) + sd_column_size(column) > 3 * list->n_symbols)
            return 0;
        width += sd_column_bits(column);
    }
    return width == list->width &&
           (!list->first || list->first == sd_column_bits(sd_column(list, 0)));
}

/* The string that is being read, up to its end. */
static sd_status check_text(const sd_list *list, sd_chars *chars) {
    sd_utf8 utf8 = {0};
    uint32_t count = 0;
    while (sd_next(list, chars)) {
        for (uint32_t i = 0; i < chars->count; i++)
            if (!take_byte(&utf8, chars->bytes[i]))
                return SD_STRINGS;
        count += chars->count;
        if (count > SD_MAX_STRING)
            return SD_STRINGS;
    }
    return utf8.left || !chars->ended ? SD_STRINGS : SD_OK;
}

/* A block of numbers from bit *at on, which moves behind it and what follows its numbers. */
static sd_status check_block(const sd_list *list, uint32_t row, uint64_t *at) {
    uint32_t count = sd_min(SD_NUMBER_BLOCK, list->n - row), width = 0;
    *at += list->first;
    if (count > 1 && *at < list->bits) {
        width = (uint32_t)sd_bits(list->codes, *at, 6);
        *at += 6;
    }
    *at += (count - 1) * width + count * list->rest;
    return width > list->first ? SD_STRINGS : SD_OK;
}

/* Blocks begin where the ones before end, and the last one ends where the bits do. */
sd_status sd_check_strings(const sd_model *model, uint32_t first) {
    sd_list list;
    uint64_t at = 0, start = 0;
    sd_status status = SD_OK;
    if (!model->sections[first])
        return SD_OK;
    sd_open_list(model, first, &list);
    uint32_t block = 1u << list.shift;
    if ((list.coding == SD_AS_TEXT && !check_symbols(&list)) ||
        (list.coding == SD_AS_COLUMNS && !check_columns(&list)))
        return SD_STRINGS;
    int blocks = list.coding != SD_AS_COLUMNS || list.first;
    for (uint32_t row = 0; row < list.n && !status; row++) {
        if (blocks && row % block == 0) {
            if (sd_bits(list.starts, start, list.start_width) != at || at >= list.bits)
                return SD_POINTERS;
            start += list.start_width;
            if (list.first)
                status = check_block(&list, row, &at);
        }
        if (status || list.coding == SD_AS_NUMBERS)
            continue;
        sd_chars chars;
        chars.at = at;
        chars.column = 0;
        chars.ended = 0;
        if (list.first)
            sd_begin(&list, row, &chars);
        status = check_text(&list, &chars);
        if (!list.first)
            at = chars.at;
    }
    if (!status && at != list.bits)
        status = SD_POINTERS;
    if (!status && !(rest_is_zero(list.starts, start) && rest_is_zero(list.codes, list.bits)))
        status = SD_PADDING;
    return status;
}

/* Whether two rows have the same string. */
static int same(const sd_list *list, uint32_t row, uint32_t other) {
    sd_chars first, second;
    uint32_t i = 0, j = 0; /* bytes of a part that are compared */
    sd_begin(list, row, &first);
    sd_begin(list, other, &second);
    first.count = second.count = 0;
    for (;;) {
        while (i == first.count && sd_next(list, &first))
            i = 0;
        while (j == second.count && sd_next(list, &second))
            j = 0;
        if (i == first.count || j == second.count)
            return i == first.count && j == second.count;
        if (first.bytes[i++] != second.bytes[j++])
            return 0;
    }
}

static uint32_t hash(const sd_list *list, uint32_t row) {
    uint32_t crc = 0;
    sd_chars chars;
    sd_begin(list, row, &chars);
    while (sd_next(list, &chars))
        crc = sd_crc32(crc, chars.bytes, chars.count);
    return crc;
}

/* Slots whose rows are asked for at once, and slots whose hashes are kept. */
enum { TOGETHER = 32, KEPT = 64 };

/* The index holds each row once, and leads from each id to its row: no slot is empty from where
 * the search for an id begins to where it stands, and no id there is the same. Then ids are
 * distinct, so rows are, and they are as many as there are. The slots are read in order, and each
 * id once: its place in memory is asked for ahead. */
sd_status sd_check_ids(const sd_model *model, uint32_t first) {
    sd_list list;
    uint32_t hashes[KEPT], filled = 0;
    sd_status status = sd_check_strings(model, first);
    if (status)
        return status;
    sd_open_list(model, first, &list);
    uint64_t slots = sd_u32(list.index), filled_from = 0;
    uint32_t empty = (uint32_t)(((uint64_t)1 << list.slot_width) - 1);
    for (uint64_t slot = 0; slot < slots; slot++) {
        uint32_t row = sd_slot(&list, slot), ahead[TOGETHER], count = 0;
        if (!SD_NO_PREFETCH && slot % TOGETHER == 0) {
            for (uint64_t i = slot; i < slots && i < slot + TOGETHER; i++) {
                ahead[count] = sd_slot(&list, i);
                count += ahead[count] < list.n;
            }
            sd_prefetch_strings(model, first, ahead, count);
        }
        if (row == empty) {
            filled_from = slot + 1;
            continue;
        }
        if (row >= list.n)
            return SD_IDS;
        uint32_t own = hash(&list, row);
        uint64_t other = own * sd_index_slots(list.n) >> 32;
        if (other < filled_from || other > slot)
            return SD_IDS;
        for (; other < slot; other++)
            if ((slot - other >= KEPT || hashes[other % KEPT] == own) &&
                same(&list, row, sd_slot(&list, other)))
                return SD_IDS;
        hashes[slot % KEPT] = own;
        filled++;
    }
    if (filled != list.n)
        return SD_IDS;
    return rest_is_zero(list.index + 4, slots * list.slot_width) ? SD_OK : SD_PADDING;
}
