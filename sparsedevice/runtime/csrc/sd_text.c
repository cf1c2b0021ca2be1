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

static int equal(const uint8_t *a, const uint8_t *b, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        if (a[i] != b[i])
            return 0;
    return 1;
}

uint32_t sd_find(const sd_model *model, sd_table table, const char *id, uint64_t length) {
    uint32_t first = table == SD_ITEMS ? SD_K_ITEM_ID_POINTERS : SD_K_USER_ID_POINTERS;
    uint32_t n = table == SD_ITEMS ? model->n_items : model->n_users;
    if (!n)
        return SD_NO_ROW;
    uint64_t slots = model->lengths[first + 2] / 4;
    uint64_t slot = sd_crc32(0, (const uint8_t *)id, length) * sd_index_slots(n) >> 32;
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
