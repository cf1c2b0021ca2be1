/* Strings of the file: ids and titles. */
#include "sd_internal.h"

/* String `row` of the list whose pointers are section `first`, clamped to the bytes that exist. */
static sd_range string_at(const sd_model *model, uint32_t first, uint32_t row) {
    return sd_clamped(model->sections[first], row, model->lengths[first + 1], SD_MAX_STRING);
}

sd_status sd_string(const sd_model *model, sd_text text, uint32_t row, const char **string,
                    uint32_t *length) {
    uint32_t first = text == SD_ITEM_ID   ? SD_K_ITEM_ID_POINTERS
                     : text == SD_USER_ID ? SD_K_USER_ID_POINTERS
                                          : SD_K_TITLE_POINTERS;
    *string = "";
    *length = 0;
    if (!model->sections[first] || row >= (text == SD_USER_ID ? model->n_users : model->n_items))
        return SD_BAD_ROW;
    sd_range range = string_at(model, first, row);
    *string = (const char *)(model->sections[first + 1] + range.begin);
    *length = range.count;
    return SD_OK;
}

void sd_prefetch_strings(const sd_model *model, uint32_t first, const uint32_t *rows,
                         uint32_t count) {
    if (!model->sections[first])
        return;
    for (uint32_t i = 0; i < count; i++)
        SD_PREFETCH(model->sections[first] + 4 * (uint64_t)rows[i]);
    for (uint32_t i = 0; i < count; i++)
        SD_PREFETCH(model->sections[first + 1] + string_at(model, first, rows[i]).begin);
}

static int equal(const uint8_t *a, const uint8_t *b, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        if (a[i] != b[i])
            return 0;
    return 1;
}

enum { SD_TOGETHER = 16 };

static uint32_t finish_search(const sd_model *model, uint32_t first, uint32_t n, uint64_t slot,
                              const char *id, uint64_t length) {
    uint64_t slots = model->lengths[first + 2] / 4;
    for (; slot < slots; slot++) {
        uint32_t row = sd_u32(model->sections[first + 2] + 4 * slot);
        if (row >= n)
            break;
        sd_range range = string_at(model, first, row);
        if (range.count == length &&
            equal(model->sections[first + 1] + range.begin, (const uint8_t *)id, length))
            return row;
    }
    return SD_NO_ROW;
}

static uint64_t first_slot(const char *id, uint64_t length, uint32_t n) {
    return sd_crc32(0, (const uint8_t *)id, length) * sd_index_slots(n) >> 32;
}

uint32_t sd_find(const sd_model *model, sd_table table, const char *id, uint64_t length) {
    uint32_t first = table == SD_ITEMS ? SD_K_ITEM_ID_POINTERS : SD_K_USER_ID_POINTERS;
    uint32_t n = table == SD_ITEMS ? model->n_items : model->n_users;
    if (!n)
        return SD_NO_ROW;
    return finish_search(model, first, n, first_slot(id, length, n), id, length);
}

/* Each id needs a slot, then a pointer, then bytes, each of which may be far away: the first step
 * is taken for all ids, then the second for all, and so on. */
static void find_together(const sd_model *model, uint32_t first, uint32_t n, const char *const *ids,
                          const uint64_t *lengths, uint32_t count, uint32_t *rows) {
    const uint8_t *index = model->sections[first + 2];
    uint64_t slots[SD_TOGETHER];
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = first_slot(ids[i], lengths[i], n);
        SD_PREFETCH(index + 4 * slots[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = sd_u32(index + 4 * slots[i]);
        if (rows[i] < n)
            SD_PREFETCH(model->sections[first] + 4 * (uint64_t)rows[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        if (rows[i] < n)
            SD_PREFETCH(model->sections[first + 1] + string_at(model, first, rows[i]).begin);
    for (uint32_t i = 0; i < count; i++)
        rows[i] = finish_search(model, first, n, slots[i], ids[i], lengths[i]);
}

void sd_find_all(const sd_model *model, sd_table table, const char *const *ids,
                 const uint64_t *lengths, uint32_t count, uint32_t *rows) {
    uint32_t first = table == SD_ITEMS ? SD_K_ITEM_ID_POINTERS : SD_K_USER_ID_POINTERS;
    uint32_t n = table == SD_ITEMS ? model->n_items : model->n_users;
    for (uint32_t done = 0; done < count; done += SD_TOGETHER) {
        uint32_t part = sd_min(count - done, SD_TOGETHER);
        if (n)
            find_together(model, first, n, ids + done, lengths + done, part, rows + done);
        for (uint32_t i = done; !n && i < done + part; i++)
            rows[i] = SD_NO_ROW;
    }
}
