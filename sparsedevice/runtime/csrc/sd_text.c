/* Strings of the file: ids and titles (docs/format.md, "Strings" and "The id index"). */
#include "sd_strings.h"

void sd_open_list(const sd_model *model, uint32_t first, sd_list *list) {
    const uint8_t *head = model->sections[first + 1];
    list->starts = model->sections[first];
    list->coding = head[0];
    list->width = head[1];
    list->more = head[2];
    list->start_width = head[3];
    list->n_symbols = sd_u16(head + 4);
    list->n_short = sd_u16(head + 6);
    list->first_final = sd_u16(head + 8);
    list->n_final = sd_u16(head + 10);
    list->bits = sd_u64(head + 12);
    list->symbols = head + SD_LIST_HEAD;
    list->codes = list->symbols + 3 * (uint64_t)list->n_symbols;
    list->index = first == SD_K_TITLE_POINTERS ? NULL : model->sections[first + 2];
    list->n = first == SD_K_USER_ID_POINTERS ? model->n_users : model->n_items;
    list->shift = list->coding == SD_AS_TEXT ? 3 : 4;
    list->first = list->coding == SD_AS_NUMBERS   ? list->width
                  : list->coding == SD_AS_COLUMNS ? list->more
                                                  : 0;
    list->rest = list->width - list->first;
    list->slot_width = 1;
    for (uint32_t step = 16; step; step /= 2)
        list->slot_width += list->n >> (list->slot_width - 1 + step) ? step : 0;
}

static uint64_t block_of(const sd_list *list, uint32_t row) { return row >> list->shift; }

static int head_fits(const sd_list *list) {
    if (list->coding == SD_AS_COLUMNS)
        return list->more <= list->width && list->more <= 32 && list->n_short <= SD_MAX_COLUMNS &&
               4 * list->n_short <= 3 * list->n_symbols &&
               (list->more ||
                (!list->start_width && list->bits == (uint64_t)list->n * list->width));
    if (list->coding == SD_AS_NUMBERS)
        return list->width - 1 < 32 && !list->more && !list->n_symbols &&
               list->n_short <= SD_MAX_DIGITS;
    return list->coding == SD_AS_TEXT && list->width - 1 < 12 && list->more <= 12 &&
           list->n_symbols <= SD_MAX_SYMBOLS;
}

int sd_list_fits(const sd_model *model, uint32_t first) {
    const uint64_t *lengths = model->lengths + first;
    sd_list list;
    if (!model->sections[first])
        return 1;
    if (lengths[1] < SD_LIST_HEAD || lengths[1] > UINT32_MAX)
        return 0;
    sd_open_list(model, first, &list);
    uint64_t blocks = block_of(&list, list.n - 1) + 1;
    if (!head_fits(&list) || list.start_width > SD_MAX_START_WIDTH ||
        list.bits >> SD_MAX_START_WIDTH || lengths[0] != sd_bit_bytes(blocks * list.start_width) ||
        lengths[1] != SD_LIST_HEAD + 3 * list.n_symbols + sd_bit_bytes(list.bits))
        return 0;
    if (!list.index)
        return 1;
    if (lengths[2] < 4)
        return 0;
    uint64_t least = sd_index_slots(list.n), slots = sd_u32(list.index);
    return slots >= least && slots <= 2 * least &&
           lengths[2] == 4 + sd_bit_bytes(slots * list.slot_width);
}

/* Bit at which the block of a row begins, at most the number of bits. */
static uint64_t block_start(const sd_list *list, uint32_t row) {
    if (list->coding == SD_AS_COLUMNS && !list->first)
        return (uint64_t)row * list->width;
    uint64_t start =
        sd_bits(list->starts, block_of(list, row) * list->start_width, list->start_width);
    return start < list->bits ? start : list->bits;
}

/* The number of a row in its block; unless NULL, also the bit at which what follows it begins. */
static uint32_t number_at(const sd_list *list, uint32_t row, uint64_t *rest) {
    uint64_t at = block_start(list, row);
    uint32_t mask = (uint32_t)(((uint64_t)1 << list->first) - 1), place = row % SD_NUMBER_BLOCK;
    uint32_t number = (uint32_t)sd_bits(list->codes, at, list->first), width = 0;
    uint32_t more = rest ? sd_min(list->n - (row - place), SD_NUMBER_BLOCK) - 1 : place;
    at += list->first;
    if (more && at < list->bits) {
        width = (uint32_t)sd_bits(list->codes, at, 6);
        at += 6;
    }
    if (rest)
        *rest = at + more * width + place * list->rest;
    if (width > 32 || at + place * width > list->bits)
        return number;
    for (uint32_t i = 0; i < place; i++, at += width)
        number += (uint32_t)sd_bits(list->codes, at, width);
    return number & mask;
}

void sd_begin(const sd_list *list, uint32_t row, sd_chars *chars) {
    uint32_t skip = list->coding == SD_AS_TEXT ? row % SD_TEXT_BLOCK : 0;
    chars->column = 0;
    chars->ended = 0;
    if (list->coding == SD_AS_COLUMNS && list->first) {
        chars->number = number_at(list, row, &chars->at);
        return;
    }
    chars->at = list->coding == SD_AS_NUMBERS ? row : block_start(list, row);
    while (skip && chars->at < list->bits)
        skip -= (uint32_t)sd_final(list, sd_code(list, &chars->at));
}

/* Columns: the letters of the next number, which is a fraction. Times the size of an alphabet it
 * gives a place there before the point, and the letters that follow behind it. */
static int next_letters(const sd_list *list, sd_chars *chars) {
    uint32_t fraction = 0, width;
    chars->count = 0;
    if (chars->at > list->bits)
        return 0;
    for (; chars->column < list->n_short; chars->column++) {
        uint32_t column = sd_column(list, chars->column);
        if ((width = sd_column_bits(column))) {
            if (chars->count)
                return 1;
            if (list->first && !chars->column) {
                fraction = chars->number << (-width & 31);
            } else {
                fraction = (uint32_t)sd_bits(list->codes, chars->at, width & 63) << (-width & 31);
                chars->at += width;
            }
        }
        uint64_t product = (uint64_t)fraction * sd_column_size(column);
        uint32_t place = (column & 0xFFFFu) + (uint32_t)(product >> 32);
        fraction = (uint32_t)product;
        if (place >= 3 * list->n_symbols)
            return 0;
        chars->bytes[chars->count++] = list->symbols[place];
    }
    chars->ended = 1;
    return 1;
}

/* Numbers: all digits. */
static int next_digits(const sd_list *list, sd_chars *chars) {
    uint32_t number = number_at(list, (uint32_t)chars->at, NULL), count = 1;
    for (uint32_t rest = number; rest > 9 || count < list->n_short; rest /= 10)
        count++;
    for (uint32_t i = count; i; i--, number /= 10)
        chars->bytes[i - 1] = (uint8_t)('0' + number % 10);
    chars->count = count;
    chars->ended = 1;
    return 1;
}

int sd_next(const sd_list *list, sd_chars *chars) {
    uint16_t open[SD_MAX_SYMBOL_BYTES]; /* right parts still to come */
    uint32_t depth = 0, count = 0, steps = 2 * SD_MAX_SYMBOL_BYTES;
    if (chars->ended)
        return 0;
    if (list->coding == SD_AS_COLUMNS)
        return next_letters(list, chars);
    if (list->coding == SD_AS_NUMBERS)
        return next_digits(list, chars);
    if (chars->at >= list->bits)
        return 0;
    uint32_t part = sd_code(list, &chars->at);
    chars->ended = sd_final(list, part);
    for (;;) {
        while (part < SD_NOTHING) {
            if (part >= list->n_symbols || depth == SD_MAX_SYMBOL_BYTES || !--steps)
                return 0;
            uint32_t entry = sd_entry(list, part);
            open[depth++] = (uint16_t)(entry >> 12);
            part = entry & 4095u;
        }
        if (part != SD_NOTHING) {
            if (count == SD_MAX_SYMBOL_BYTES)
                return 0;
            chars->bytes[count++] = (uint8_t)part;
        }
        if (!depth)
            break;
        part = open[--depth];
    }
    chars->count = count - (uint32_t)(chars->ended && count);
    return 1;
}

/* The number below 2^32 that an id is the decimal form of, with zeros before it where that has so
 * few digits; 0 where it is none. */
static int number_of(const sd_list *list, const char *id, uint64_t length, uint32_t *number) {
    uint64_t value = 0;
    if (!length || length > SD_MAX_DIGITS || length < list->n_short ||
        (id[0] == '0' && length > 1 && length != list->n_short))
        return 0;
    for (uint64_t i = 0; i < length; i++) {
        if (id[i] < '0' || id[i] > '9')
            return 0;
        value = 10 * value + (uint64_t)(id[i] - '0');
    }
    *number = (uint32_t)value;
    return value <= UINT32_MAX;
}

sd_status sd_string(const sd_model *model, sd_text text, uint32_t row, char *string, uint32_t room,
                    uint32_t *length) {
    uint32_t first = text == SD_ITEM_ID   ? SD_K_ITEM_ID_POINTERS
                     : text == SD_USER_ID ? SD_K_USER_ID_POINTERS
                                          : SD_K_TITLE_POINTERS;
    uint32_t count = 0;
    *length = 0;
    if (!model->sections[first] || row >= (text == SD_USER_ID ? model->n_users : model->n_items))
        return SD_BAD_ROW;
    sd_list list;
    sd_open_list(model, first, &list);
    sd_chars chars;
    sd_begin(&list, row, &chars);
    while (count <= SD_MAX_STRING - SD_MAX_SYMBOL_BYTES && sd_next(&list, &chars)) {
        for (uint32_t i = 0; i < chars.count && count + i < room; i++)
            string[count + i] = (char)chars.bytes[i];
        count += chars.count;
    }
    *length = count;
    return SD_OK;
}

void sd_prefetch_strings(const sd_model *model, uint32_t first, const uint32_t *rows,
                         uint32_t count) {
    if (!model->sections[first])
        return;
    sd_list list;
    sd_open_list(model, first, &list);
    for (uint32_t i = 0; i < count; i++)
        SD_PREFETCH(list.starts + (block_of(&list, rows[i]) * list.start_width >> 3));
    for (uint32_t i = 0; i < count; i++)
        SD_PREFETCH(list.codes + (block_start(&list, rows[i]) >> 3));
}

enum { SD_TOGETHER = 16 };

/* Whether a row has this text, or for a list of numbers this number. */
static int equal(const sd_list *list, uint32_t row, const char *id, uint64_t length,
                 uint32_t number) {
    if (list->coding == SD_AS_NUMBERS)
        return number_at(list, row, NULL) == number;
    sd_chars chars;
    sd_begin(list, row, &chars);
    for (uint64_t done = 0;; done += chars.count) {
        if (!sd_next(list, &chars))
            return chars.ended && done == length;
        if (chars.count > length - done)
            return 0;
        for (uint32_t i = 0; i < chars.count; i++)
            if (chars.bytes[i] != (uint8_t)id[done + i])
                return 0;
    }
}

static uint32_t finish_search(const sd_list *list, uint64_t slot, const char *id, uint64_t length) {
    uint64_t slots = sd_u32(list->index);
    uint32_t number = 0;
    if (list->coding == SD_AS_NUMBERS && !number_of(list, id, length, &number))
        return SD_NO_ROW;
    for (; slot < slots; slot++) {
        uint32_t row = sd_slot(list, slot);
        if (row >= list->n)
            break;
        if (equal(list, row, id, length, number))
            return row;
    }
    return SD_NO_ROW;
}

static uint64_t first_slot(const char *id, uint64_t length, uint32_t n) {
    return sd_crc32(0, (const uint8_t *)id, length) * sd_index_slots(n) >> 32;
}

uint32_t sd_find(const sd_model *model, sd_table table, const char *id, uint64_t length) {
    sd_list list;
    if (table == SD_USERS && !model->n_users)
        return SD_NO_ROW;
    sd_open_list(model, table == SD_ITEMS ? SD_K_ITEM_ID_POINTERS : SD_K_USER_ID_POINTERS, &list);
    return finish_search(&list, first_slot(id, length, list.n), id, length);
}

/* Each id needs a slot, then a start, then codes, each of which may be far away: the first step
 * is taken for all ids, then the second for all, and so on. */
static void find_together(const sd_list *list, const char *const *ids, const uint64_t *lengths,
                          uint32_t count, uint32_t *rows) {
    uint64_t slots[SD_TOGETHER];
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = first_slot(ids[i], lengths[i], list->n);
        SD_PREFETCH(list->index + 4 + (slots[i] * list->slot_width >> 3));
    }
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = sd_slot(list, slots[i]);
        if (rows[i] < list->n)
            SD_PREFETCH(list->starts + (block_of(list, rows[i]) * list->start_width >> 3));
    }
    for (uint32_t i = 0; i < count; i++)
        if (rows[i] < list->n)
            SD_PREFETCH(list->codes + (block_start(list, rows[i]) >> 3));
    for (uint32_t i = 0; i < count; i++)
        rows[i] = finish_search(list, slots[i], ids[i], lengths[i]);
}

void sd_find_all(const sd_model *model, sd_table table, const char *const *ids,
                 const uint64_t *lengths, uint32_t count, uint32_t *rows) {
    sd_list list;
    int none = table == SD_USERS && !model->n_users;
    if (!none)
        sd_open_list(model, table == SD_ITEMS ? SD_K_ITEM_ID_POINTERS : SD_K_USER_ID_POINTERS,
                     &list);
    for (uint32_t done = 0; done < count; done += SD_TOGETHER) {
        uint32_t part = sd_min(count - done, SD_TOGETHER);
        if (!none)
            find_together(&list, ids + done, lengths + done, part, rows + done);
        for (uint32_t i = done; none && i < done + part; i++)
            rows[i] = SD_NO_ROW;
    }
}
