/* Every promise of docs/format.md that header and section table alone do not show; those about
 * strings are in sd_verify_strings.c. */
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

/* Rows of slices up to 256 columns stand in order: by length, class, and upper bits of the scale.
 */
static sd_status check_order(const sd_model *model) {
    uint64_t last = 0;
    if (model->layout == SD_CSR || model->dim > SD_MAX_BYTE_DIM)
        return SD_OK;
    for (uint32_t row = 0; row < model->n_items; row++) {
        sd_cursor at = sd_cursor_at(model, SD_ITEMS, row);
        uint32_t count = at.count, kind = 0;
        while (count && sd_cursor_integer(&at, count - 1) == 0)
            count--;
        if (model->dim <= SD_HALVED_DIM)
            kind = sd_row_class(count > 3 ? sd_cursor_column(&at, 3) : 0,
                                count & 3 ? sd_cursor_column(&at, count & ~3u) : SD_HALVED_DIM - 1);
        uint64_t key = (uint64_t)(model->dim - count) << 32 | kind << 16 |
                       sd_float_bits(at.scale) >> SD_BUCKET_BITS;
        if (key < last)
            return SD_COLUMNS;
        last = key;
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
    if (!sd_is_utf8(p, count))
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
    if (!status)
        status = check_order(model);
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
        status = sd_check_ids(model, SD_K_USER_ID_POINTERS);
    if (!status)
        status = check_seen(model);
    if (!status)
        status = sd_check_ids(model, SD_K_ITEM_ID_POINTERS);
    if (!status)
        status = sd_check_strings(model, SD_K_TITLE_POINTERS);
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
