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

/* -1, 0, 1: bytes a before, equal to or after bytes b. */
static int compare(const uint8_t *a, uint64_t n_a, const uint8_t *b, uint64_t n_b) {
    for (uint64_t i = 0; i < n_a && i < n_b; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return n_a == n_b ? 0 : n_a < n_b ? -1 : 1;
}

uint32_t sd_find(const sd_model *model, sd_table table, const char *id, uint64_t length) {
    uint32_t first = table == SD_ITEMS ? SD_K_ITEM_ID_POINTERS : SD_K_USER_ID_POINTERS;
    uint32_t n = table == SD_ITEMS ? model->n_items : model->n_users;
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint32_t row = sd_u32(model->sections[first + 2] + 4 * (uint64_t)middle);
        if (row >= n)
            return SD_NO_ROW;
        sd_range range = string_at(model, first, row);
        int order = compare(model->sections[first + 1] + range.begin, range.count,
                            (const uint8_t *)id, length);
        if (order == 0)
            return row;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SD_NO_ROW;
}
