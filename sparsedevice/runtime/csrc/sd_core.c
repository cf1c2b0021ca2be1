/* Opening a packed file: header and section table. */
#include "sd_strings.h"

static const uint8_t sd_magic[8] = {0x93, 'S', 'D', 'V', '\r', '\n', 0x1A, '\n'};

enum { SD_HEADER_BYTES = 64, SD_ENTRY_BYTES = 24 };

const char *sd_status_name(sd_status status) {
    switch (status) {
    case SD_OK:
        return "ok";
    case SD_MAGIC:
        return "magic";
    case SD_VERSION:
        return "version";
    case SD_BYTE_ORDER:
        return "byte-order";
    case SD_TRUNCATED:
        return "truncated";
    case SD_HEADER_CHECKSUM:
        return "header-checksum";
    case SD_COUNTS:
        return "counts";
    case SD_CODES:
        return "codes";
    case SD_SECTIONS:
        return "sections";
    case SD_CONTIGUOUS:
        return "contiguous";
    case SD_EXTENT:
        return "extent";
    case SD_LENGTHS:
        return "lengths";
    case SD_PADDING:
        return "padding";
    case SD_CHECKSUM:
        return "checksum";
    case SD_POINTERS:
        return "pointers";
    case SD_COLUMNS:
        return "columns";
    case SD_VALUES:
        return "values";
    case SD_SCALES:
        return "scales";
    case SD_SEEN:
        return "seen";
    case SD_STRINGS:
        return "strings";
    case SD_IDS:
        return "ids";
    case SD_FOLD_IN:
        return "fold-in";
    case SD_METADATA:
        return "metadata";
    case SD_BAD_ROW:
        return "bad-row";
    case SD_BAD_REQUEST:
        return "bad-request";
    }
    return "unknown";
}

static uint64_t value_bytes(sd_values values, uint64_t count) {
    switch (values) {
    case SD_F32:
        return 4 * count;
    case SD_F16:
        return 2 * count;
    case SD_INT8:
        return count;
    case SD_INT4:
        break;
    }
    return (count + 1) / 2;
}

static sd_status read_counts(sd_model *model, const uint8_t *head) {
    model->n_items = sd_u32(head + 16);
    model->n_users = sd_u32(head + 20);
    model->dim = sd_u32(head + 24);
    model->nnz_items = sd_u64(head + 32);
    model->nnz_users = sd_u64(head + 40);
    model->nnz_seen = sd_u64(head + 48);
    if (model->n_items < 1 || model->n_items > INT32_MAX || model->n_users > INT32_MAX ||
        model->dim < 1 || model->dim > SD_MAX_DIM || model->nnz_items > UINT32_MAX ||
        model->nnz_users > UINT32_MAX || model->nnz_seen > UINT32_MAX)
        return SD_COUNTS;
    if (head[28] > SD_INT4 || head[29] > SD_SLICED || head[30] > SD_DOT ||
        head[31] != (head[29] && model->dim <= SD_MAX_BYTE_DIM))
        return SD_CODES;
    model->values = (sd_values)head[28];
    model->layout = (sd_layout)head[29];
    model->similarity = (sd_similarity)head[30];
    if (model->layout == SD_SLICED && model->values < SD_INT8)
        return SD_CODES;
    model->n_slices = (model->n_items + SD_SLICE_ROWS - 1) / SD_SLICE_ROWS;
    return SD_OK;
}

static sd_status read_table(sd_model *model, uint32_t n_sections) {
    uint64_t end = SD_HEADER_BYTES + (uint64_t)SD_ENTRY_BYTES * n_sections;
    uint32_t last = 0;
    for (uint32_t i = 0; i < n_sections; i++) {
        const uint8_t *entry = model->bytes + SD_HEADER_BYTES + (uint64_t)SD_ENTRY_BYTES * i;
        uint32_t kind = sd_u32(entry);
        uint64_t offset = sd_u64(entry + 8), length = sd_u64(entry + 16);
        if (kind <= last || kind > SD_KINDS)
            return SD_SECTIONS;
        if (offset != ((end + 63) & ~(uint64_t)63))
            return SD_CONTIGUOUS;
        if (offset > model->size || length > model->size - offset)
            return SD_TRUNCATED;
        model->sections[kind] = model->bytes + offset;
        model->lengths[kind] = length;
        model->checksums[kind] = sd_u32(entry + 4);
        last = kind;
        end = offset + length;
    }
    return end == model->size ? SD_OK : SD_EXTENT;
}

static int all_or_none(const sd_model *model, uint32_t first, uint32_t last, int wanted) {
    for (uint32_t kind = first; kind <= last; kind++)
        if ((model->sections[kind] != NULL) != wanted)
            return 0;
    return 1;
}

static sd_status check_presence(const sd_model *model) {
    int users = model->n_users > 0;
    int seen = model->sections[SD_K_SEEN_POINTERS] != NULL;
    int titles = model->sections[SD_K_TITLE_POINTERS] != NULL;
    if (!all_or_none(model, SD_K_ITEM_POINTERS, SD_K_ITEM_SCALES, 1) ||
        !all_or_none(model, SD_K_USER_POINTERS, SD_K_USER_SCALES, users) ||
        !all_or_none(model, SD_K_SEEN_POINTERS, SD_K_SEEN_ROWS, seen) || (seen && !users) ||
        !all_or_none(model, SD_K_ITEM_ID_POINTERS, SD_K_ITEM_ID_INDEX, 1) ||
        !all_or_none(model, SD_K_USER_ID_POINTERS, SD_K_USER_ID_INDEX, users) ||
        !all_or_none(model, SD_K_TITLE_POINTERS, SD_K_TITLE_BYTES, titles))
        return SD_SECTIONS;
    return SD_OK;
}

static sd_status check_lengths(sd_model *model) {
    uint64_t n = model->n_items, u = model->n_users, slices = model->n_slices;
    uint64_t width = model->dim <= SD_MAX_BYTE_DIM ? 1 : 2;
    int sliced = model->layout == SD_SLICED;
    model->stored = model->nnz_items;
    if (sliced) {
        model->stored = model->lengths[SD_K_ITEM_COLUMNS];
        if (model->stored % SD_SLICE_ROWS || model->stored / SD_SLICE_ROWS > UINT32_MAX ||
            model->nnz_items > model->stored)
            return SD_LENGTHS;
    }
    const uint64_t expected[SD_KINDS + 1] = {
        [SD_K_ITEM_POINTERS] = 4 * ((sliced ? slices : n) + 1) +
                               (sliced && width > 1 ? model->stored / SD_SLICE_ROWS : 0),
        [SD_K_ITEM_COLUMNS] = model->stored * (sliced ? 1 : width),
        [SD_K_ITEM_VALUES] = value_bytes(model->values, model->stored),
        [SD_K_ITEM_SCALES] = 4 * (sliced ? SD_SLICE_ROWS * slices : n),
        [SD_K_USER_POINTERS] = 4 * (u + 1),
        [SD_K_USER_COLUMNS] = model->nnz_users * width,
        [SD_K_USER_VALUES] = value_bytes(model->values, model->nnz_users),
        [SD_K_USER_SCALES] = 4 * u,
        [SD_K_SEEN_POINTERS] = 4 * (u + 1),
        [SD_K_SEEN_ROWS] = 4 * model->nnz_seen,
        [SD_K_FOLD_WEIGHTS] = 4 * n,
        [SD_K_FOLD_MATRIX] = 4 * (uint64_t)model->dim * model->dim,
        [SD_K_FOLD_RULE] = SD_RULE_BYTES,
        [SD_K_FOLD_TOWER] = 4 * (uint64_t)sd_tower_numbers(model),
    };
    if (!sd_list_fits(model, SD_K_ITEM_ID_POINTERS) ||
        !sd_list_fits(model, SD_K_USER_ID_POINTERS) || !sd_list_fits(model, SD_K_TITLE_POINTERS))
        return SD_LENGTHS;
    for (uint32_t kind = 1; kind <= SD_KINDS; kind++) {
        uint64_t length = model->lengths[kind];
        if (!model->sections[kind])
            continue;
        if (kind >= SD_K_ITEM_ID_POINTERS && kind <= SD_K_TITLE_BYTES)
            continue;
        if (kind == SD_K_METADATA
                ? length > UINT32_MAX
                : length != expected[kind] || (kind == SD_K_FOLD_TOWER && !length))
            return SD_LENGTHS;
    }
    return SD_OK;
}

static int little_endian(void) {
    union {
        uint32_t number;
        uint8_t bytes[4];
    } probe = {1};
    return probe.bytes[0];
}

static void choose_kernel(sd_model *model) {
    model->kernels = 1u << SD_KERNEL_SCALAR;
#ifdef SD_X86
    model->kernels |= sd_x86_kernels();
#endif
#ifdef SD_NEON
    model->kernels |= 1u << SD_KERNEL_NEON;
#ifdef __ARM_FEATURE_DOTPROD
    model->kernels |= 1u << SD_KERNEL_NEON_DOT;
#endif
#endif
#ifdef SD_WASM_SIMD
    model->kernels |= 1u << SD_KERNEL_WASM_SIMD;
#endif
    model->kernel = SD_KERNEL_SCALAR;
    for (uint32_t kernel = 0; kernel <= SD_KERNEL_WASM_SIMD; kernel++)
        if (model->kernels >> kernel & 1)
            model->kernel = (sd_kernel)kernel;
}

sd_status sd_open(sd_model *model, const void *bytes, uint64_t size) {
    static const uint8_t zero[4] = {0};
    const sd_model empty = {0};
    const uint8_t *head = bytes;
    *model = empty;
    model->bytes = head;
    model->size = size;
    for (uint32_t i = 0; i < 8; i++)
        if (i < size && head[i] != sd_magic[i])
            return SD_MAGIC;
    if (size < SD_HEADER_BYTES)
        return SD_TRUNCATED;
    if (sd_u32(head + 12) != 0x0A0B0C0Du || !little_endian())
        return SD_BYTE_ORDER;
    if (sd_u32(head + 8) != SD_FORMAT_VERSION)
        return SD_VERSION;
    uint32_t n_sections = sd_u32(head + 56);
    if (n_sections > SD_KINDS)
        return SD_SECTIONS;
    uint64_t end = SD_HEADER_BYTES + (uint64_t)SD_ENTRY_BYTES * n_sections;
    if (size < end)
        return SD_TRUNCATED;
    uint32_t crc = sd_crc32(sd_crc32(0, head, SD_HEADER_BYTES - 4), zero, 4);
    if (sd_crc32(crc, head + SD_HEADER_BYTES, end - SD_HEADER_BYTES) != sd_u32(head + 60))
        return SD_HEADER_CHECKSUM;
    sd_status status = read_counts(model, head);
    if (!status)
        status = read_table(model, n_sections);
    if (!status)
        status = check_presence(model);
    if (!status)
        status = check_lengths(model);
    if (!status)
        choose_kernel(model);
    return status;
}

sd_status sd_add_kernel(sd_model *model, sd_kernel kernel) {
#ifdef SD_NEON
    if (kernel == SD_KERNEL_NEON_DOT) {
        model->kernels |= 1u << kernel;
        model->kernel = kernel;
        return SD_OK;
    }
#endif
    return sd_select_kernel(model, kernel);
}

sd_status sd_select_kernel(sd_model *model, sd_kernel kernel) {
    if ((uint32_t)kernel > 63 || !(model->kernels >> kernel & 1))
        return SD_BAD_REQUEST;
    model->kernel = kernel;
    return SD_OK;
}
