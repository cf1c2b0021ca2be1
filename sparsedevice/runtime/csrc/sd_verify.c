/* Every promise of docs/format.md that header and section table alone do not show. */
#include "sd_strings.h"

static int is_finite(float value) { return value - value == 0; }

static sd_status check_pointers(const sd_model *model, uint32_t kind, uint64_t count,
                                uint64_t total) {
    const uint8_t *pointers = model->sections[kind];
    if (sd_u32(pointers) != 0 || sd_u32(pointers + 4 * count) != total)
        return SD_POINTERS;
    for (uint64_t i = 0; i < count; i++)
        if (sd_u32(pointers + 4 * i) > sd_u32(pointers + 4 * i + 4))
            return SD_POINTERS;
    return SD_OK;
}

/* Columns rise and are below dim, values are finite, in range and not zero; padding only where
 * slices have it, after the entries, and all zero. *count: entries of the row. */
static sd_status check_row(const sd_model *model, sd_table table, uint32_t row, uint32_t *count) {
    sd_cursor at = sd_cursor_at(model, table, row);
    int32_t last = -1;
    uint32_t padding = 0;
    int waits = at.layout == SD_SLICED && at.wide;
    *count = 0;
    for (uint32_t i = 0; i < at.count; i++) {
        uint32_t column = at.layout == SD_CSR && at.wide ? sd_u16(at.columns + 2 * (at.begin + i))
                                                         : sd_cursor_column(&at, i);
        if (at.layout == SD_SLICED && sd_cursor_integer(&at, i) == 0) {
            if (column != sd_base(at.bases, i))
                return SD_PADDING;
            padding = !waits;
            continue;
        }
        if (padding)
            return SD_PADDING;
        if (column >= model->dim || (int32_t)column <= last)
            return SD_COLUMNS;
        if (model->values >= SD_INT8) {
            int32_t value = sd_cursor_integer(&at, i);
            if (value == 0 || value == (model->values == SD_INT8 ? -128 : -8))
                return SD_VALUES;
        } else {
            float value = sd_cursor_number(&at, i);
            if (value == 0 || !is_finite(value))
                return SD_VALUES;
        }
        last = (int32_t)column;
        ++*count;
    }
    return SD_OK;
}

static sd_status check_rows(const sd_model *model, sd_table table) {
    uint32_t first = table == SD_ITEMS ? SD_K_ITEM_POINTERS : SD_K_USER_POINTERS;
    uint32_t n = table == SD_ITEMS ? model->n_items : model->n_users;
    uint64_t nnz = table == SD_ITEMS ? model->nnz_items : model->nnz_users;
    sd_status status = check_pointers(model, first, n, nnz);
    for (uint32_t row = 0; row < n && !status; row++) {
        uint32_t count;
        const uint8_t *pointer = model->sections[first] + 4 * (uint64_t)row;
        if (sd_u32(pointer + 4) - sd_u32(pointer) > model->dim)
            return SD_COLUMNS;
        status = check_row(model, table, row, &count);
    }
    return status;
}

static sd_status check_slices(const sd_model *model) {
    const uint8_t *pointers = model->sections[SD_K_ITEM_POINTERS], *bases = sd_bases(model);
    uint64_t entries = 0;
    sd_status status =
        check_pointers(model, SD_K_ITEM_POINTERS, model->n_slices, model->stored / SD_SLICE_ROWS);
    for (uint32_t slice = 0; slice < model->n_slices && !status; slice++) {
        uint32_t steps =
            sd_u32(pointers + 4 * (uint64_t)slice + 4) - sd_u32(pointers + 4 * (uint64_t)slice);
        uint32_t longest = 0;
        if (steps > model->dim)
            return SD_POINTERS;
        for (uint32_t step = 0; bases && step < steps; step++, bases++)
            if (SD_BASE_COLUMNS * *bases >= model->dim || *bases != bases[-(int32_t)(step & 3)])
                return SD_COLUMNS;
        for (uint32_t lane = 0; lane < SD_SLICE_ROWS; lane++) {
            uint32_t row = slice * SD_SLICE_ROWS + lane, count;
            status = check_row(model, SD_ITEMS, row, &count);
            if (status)
                return status;
            if (row >= model->n_items && count)
                return SD_PADDING;
            longest = count > longest ? count : longest;
            entries += count;
        }
        if (longest != steps && !bases)
            return SD_POINTERS;
    }
    return status ? status : entries == model->nnz_items ? SD_OK : SD_VALUES;
}

static sd_status check_floats(const sd_model *model, uint32_t kind, int positive,
                              sd_status broken) {
    const uint8_t *bytes = model->sections[kind];
    for (uint64_t i = 0; bytes && i < model->lengths[kind]; i += 4) {
        float value = sd_f32(bytes + i);
        if (!is_finite(value) || (positive && !(value > 0)))
            return broken;
    }
    return SD_OK;
}

static sd_status check_seen(const sd_model *model) {
    const uint8_t *pointers = model->sections[SD_K_SEEN_POINTERS];
    const uint8_t *rows = model->sections[SD_K_SEEN_ROWS];
    if (!rows)
        return SD_OK;
    sd_status status = check_pointers(model, SD_K_SEEN_POINTERS, model->n_users, model->nnz_seen);
    for (uint32_t user = 0; user < model->n_users && !status; user++) {
        uint64_t begin = sd_u32(pointers + 4 * (uint64_t)user);
        uint64_t end = sd_u32(pointers + 4 * (uint64_t)user + 4);
        for (uint64_t i = begin; i < end; i++) {
            uint32_t row = sd_u32(rows + 4 * i);
            if (row >= model->n_items || (i > begin && row <= sd_u32(rows + 4 * i - 4)))
                return SD_SEEN;
        }
    }
    return status;
}

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

static int is_utf8(const uint8_t *p, uint64_t count) {
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

/* Columns take the bits of a string, and no more than eight each. */
static int check_columns(const sd_list *list) {
    uint32_t width = 0;
    for (uint32_t column = 0; column < list->n_short; column++) {
        uint32_t bits = sd_entry(list, column) >> 16;
        if (bits > 8)
            return 0;
        width += bits;
    }
    return width == list->width;
}

/* One string from bit *at on, which moves behind it. */
static sd_status check_text(const sd_list *list, uint64_t *at) {
    sd_utf8 utf8 = {0};
    sd_chars chars;
    uint32_t count = 0;
    chars.at = *at;
    chars.column = 0;
    chars.ended = 0;
    while (sd_next(list, &chars)) {
        for (uint32_t i = 0; i < chars.count; i++)
            if (!take_byte(&utf8, chars.bytes[i]))
                return SD_STRINGS;
        count += chars.count;
        if (count > SD_MAX_STRING)
            return SD_STRINGS;
    }
    if (utf8.left || !chars.ended)
        return SD_STRINGS;
    *at = chars.at;
    return SD_OK;
}

/* Blocks begin where the ones before end, and the last one ends where the bits do. */
static sd_status check_strings(const sd_model *model, uint32_t first) {
    sd_list list;
    uint64_t at = 0, start = 0;
    sd_status status = SD_OK;
    if (!model->sections[first])
        return SD_OK;
    sd_open_list(model, first, &list);
    uint32_t block = list.coding == SD_AS_NUMBERS ? SD_NUMBER_BLOCK : SD_TEXT_BLOCK;
    if ((list.coding == SD_AS_TEXT && !check_symbols(&list)) ||
        (list.coding == SD_AS_COLUMNS && !check_columns(&list)))
        return SD_STRINGS;
    for (uint32_t row = 0; row < list.n && !status; row++) {
        if (row % block == 0 && list.coding != SD_AS_COLUMNS) {
            if (sd_bits(list.starts, start, list.start_width) != at || at >= list.bits)
                return SD_POINTERS;
            start += list.start_width;
        }
        if (list.coding != SD_AS_NUMBERS) {
            status = check_text(&list, &at);
        } else if (row % block == 0) {
            uint32_t count = sd_min(block, list.n - row), width = 0;
            at += list.width;
            if (count > 1 && at < list.bits) {
                width = (uint32_t)sd_bits(list.codes, at, 6);
                at += 6;
            }
            if (width > list.width)
                return SD_STRINGS;
            at += (count - 1) * width;
        }
    }
    if (list.coding == SD_AS_COLUMNS)
        start = 0;
    if (!status && at != list.bits)
        status = SD_POINTERS;
    if (!status && !(rest_is_zero(list.starts, start) && rest_is_zero(list.codes, list.bits)))
        status = SD_PADDING;
    return status;
}

static int same_text(const sd_list *list, uint32_t a, uint32_t b) {
    sd_chars first, second;
    uint32_t i = 0, j = 0; /* bytes of a part that are compared */
    sd_begin(list, a, &first);
    sd_begin(list, b, &second);
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

static uint32_t hash_of(const sd_list *list, uint32_t row) {
    uint8_t digits[10];
    uint32_t crc = 0;
    sd_chars chars;
    if (list->coding == SD_AS_NUMBERS)
        return sd_crc32(0, digits, sd_digits(sd_number(list, row), digits));
    sd_begin(list, row, &chars);
    while (sd_next(list, &chars))
        crc = sd_crc32(crc, chars.bytes, chars.count);
    return crc;
}

/* The index holds each row once, and leads from each id to its row: so ids are distinct. */
static sd_status check_ids(const sd_model *model, uint32_t first) {
    sd_list list;
    uint32_t filled = 0;
    sd_status status = check_strings(model, first);
    if (status)
        return status;
    sd_open_list(model, first, &list);
    uint64_t slots = sd_u32(list.index);
    uint32_t empty = (uint32_t)(((uint64_t)1 << list.slot_width) - 1);
    for (uint64_t slot = 0; slot < slots; slot++) {
        uint32_t row = sd_slot(&list, slot);
        if (row >= list.n && row != empty)
            return SD_IDS;
        filled += row != empty;
    }
    if (filled != list.n)
        return SD_IDS;
    if (!rest_is_zero(list.index + 4, slots * list.slot_width))
        return SD_PADDING;
    for (uint32_t row = 0; row < list.n; row++) {
        uint32_t number = list.coding == SD_AS_NUMBERS ? sd_number(&list, row) : 0, other;
        uint64_t slot = hash_of(&list, row) * sd_index_slots(list.n) >> 32;
        for (;; slot++) {
            if (slot == slots || (other = sd_slot(&list, slot)) == empty)
                return SD_IDS;
            if (other == row)
                break;
            if (list.coding == SD_AS_NUMBERS ? sd_number(&list, other) == number
                                             : same_text(&list, other, row))
                return SD_IDS;
        }
    }
    return SD_OK;
}

/* Bytes between section table and sections are zero, and so is an int4 value after the last. */
static sd_status check_padding(const sd_model *model) {
    const uint8_t *end = model->bytes + 64 + 24 * (uint64_t)sd_u32(model->bytes + 56);
    for (uint32_t kind = 1; kind <= SD_KINDS; kind++) {
        if (!model->sections[kind])
            continue;
        for (; end < model->sections[kind]; end++)
            if (*end)
                return SD_PADDING;
        end = model->sections[kind] + model->lengths[kind];
    }
    if (model->values == SD_INT4) {
        if (model->layout == SD_CSR && model->nnz_items & 1 &&
            model->sections[SD_K_ITEM_VALUES][model->nnz_items / 2] >> 4)
            return SD_PADDING;
        if (model->nnz_users & 1 && model->sections[SD_K_USER_VALUES][model->nnz_users / 2] >> 4)
            return SD_PADDING;
    }
    return SD_OK;
}

static uint64_t skip_space(const uint8_t *p, uint64_t at, uint64_t count) {
    while (at < count && (p[at] == ' ' || p[at] == '\t' || p[at] == '\n' || p[at] == '\r'))
        at++;
    return at;
}

/* Position after the JSON string at `at`, or 0 if there is none. */
static uint64_t skip_string(const uint8_t *p, uint64_t at, uint64_t count) {
    if (at >= count || p[at] != '"')
        return 0;
    for (at++; at < count && p[at] != '"'; at++) {
        if (p[at] < 0x20)
            return 0;
        if (p[at] != '\\')
            continue;
        if (++at >= count)
            return 0;
        if (p[at] == 'u') {
            for (uint32_t i = 0; i < 4; i++) {
                uint8_t c = ++at < count ? (uint8_t)(p[at] | 0x20) : 0;
                if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
                    return 0;
            }
        } else if (p[at] != '"' && p[at] != '\\' && p[at] != '/' && p[at] != 'b' && p[at] != 'f' &&
                   p[at] != 'n' && p[at] != 'r' && p[at] != 't')
            return 0;
    }
    return at < count ? at + 1 : 0;
}

/* A JSON object of strings. */
static sd_status check_metadata(const sd_model *model) {
    const uint8_t *p = model->sections[SD_K_METADATA];
    uint64_t count = model->lengths[SD_K_METADATA], at;
    if (!p)
        return SD_OK;
    if (!is_utf8(p, count))
        return SD_METADATA;
    at = skip_space(p, 0, count);
    if (at >= count || p[at] != '{')
        return SD_METADATA;
    at = skip_space(p, at + 1, count);
    if (at < count && p[at] == '}')
        return skip_space(p, at + 1, count) == count ? SD_OK : SD_METADATA;
    for (;;) {
        if (!(at = skip_string(p, at, count)))
            return SD_METADATA;
        at = skip_space(p, at, count);
        if (at >= count || p[at] != ':')
            return SD_METADATA;
        if (!(at = skip_string(p, skip_space(p, at + 1, count), count)))
            return SD_METADATA;
        at = skip_space(p, at, count);
        if (at < count && p[at] == '}')
            return skip_space(p, at + 1, count) == count ? SD_OK : SD_METADATA;
        if (at >= count || p[at] != ',')
            return SD_METADATA;
        at = skip_space(p, at + 1, count);
    }
}

static sd_status check_tables(const sd_model *model) {
    sd_status status =
        model->layout == SD_SLICED ? check_slices(model) : check_rows(model, SD_ITEMS);
    if (!status)
        status = check_floats(model, SD_K_ITEM_SCALES, 1, SD_SCALES);
    if (!status && model->n_users)
        status = check_rows(model, SD_USERS);
    if (!status && model->n_users)
        status = check_floats(model, SD_K_USER_SCALES, 1, SD_SCALES);
    return status;
}

sd_status sd_verify(const sd_model *model) {
    sd_status status = check_padding(model);
    for (uint32_t kind = 1; kind <= SD_KINDS && !status; kind++)
        if (model->sections[kind] &&
            sd_crc32(0, model->sections[kind], model->lengths[kind]) != model->checksums[kind])
            status = SD_CHECKSUM;
    if (!status)
        status = check_tables(model);
    if (!status && model->n_users)
        status = check_ids(model, SD_K_USER_ID_POINTERS);
    if (!status)
        status = check_seen(model);
    if (!status)
        status = check_ids(model, SD_K_ITEM_ID_POINTERS);
    if (!status)
        status = check_strings(model, SD_K_TITLE_POINTERS);
    if (!status)
        status = check_floats(model, SD_K_FOLD_WEIGHTS, 0, SD_FOLD_IN);
    if (!status)
        status = check_floats(model, SD_K_FOLD_MATRIX, 0, SD_FOLD_IN);
    if (!status)
        status = check_floats(model, SD_K_FOLD_TOWER, 0, SD_FOLD_IN);
    if (!status) {
        int valid;
        (void)sd_fold_rule(model, &valid);
        status = valid ? SD_OK : SD_FOLD_IN;
    }
    if (!status)
        status = check_metadata(model);
    return status;
}
