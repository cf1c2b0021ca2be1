/* From a history to a query: the weighted sum of its rows, and what the file's rule makes of it
 * (docs/architecture.md, "Fold-in"). Every number is a double, and every sum has one order, so all
 * machines come to the same bits. */
#include "sd_internal.h"

uint32_t sd_tower_numbers(const sd_model *model) {
    const uint8_t *p = model->sections[SD_K_FOLD_RULE];
    if (!p || model->lengths[SD_K_FOLD_RULE] != SD_RULE_BYTES || sd_u32(p) != SD_RULE_TOWER)
        return 0;
    uint32_t count = sd_u32(p + 4), hidden = sd_u32(p + 8), dim = model->dim;
    if (count < 2 || count > SD_MAX_LAYERS || hidden < 1 || hidden > dim)
        return 0;
    return hidden * (dim + 1) + (count - 2) * hidden * (hidden + 1) + dim * (hidden + 1);
}

sd_rule sd_fold_rule(const sd_model *model, int *valid) {
    const uint8_t *p = model->sections[SD_K_FOLD_RULE];
    sd_rule rule = {0};
    *valid = 1;
    if (!p)
        return rule;
    uint32_t kind = sd_u32(p), count = sd_u32(p + 4), rows = sd_u32(p + 8);
    float a = sd_f32(p + 12), b = sd_f32(p + 16), c = sd_f32(p + 20);
    int ridge = kind == SD_RULE_RIDGE && count >= 1 && count <= SD_MAX_SOLVE && rows == 0 &&
                a > 0 && a <= SD_MAX_F32 && sd_u32(p + 16) == 0 && sd_u32(p + 20) == 0;
    int steps = kind == SD_RULE_STEPS && count >= 1 && count <= SD_MAX_STEPS &&
                !(count & (count - 1)) && rows >= SD_COMB_ROWS && rows <= SD_MAX_SAMPLE &&
                !(rows & (rows - 1)) && a > 0 && a <= SD_MAX_F32 && b > 0 &&
                b <= SD_MAX_SHARPNESS && c > 0 && c <= SD_MAX_F32 && model->similarity == SD_COSINE;
    int tower = model->sections[SD_K_FOLD_TOWER] && sd_u32(p + 12) == 0 && sd_u32(p + 16) == 0 &&
                sd_u32(p + 20) == 0;
    if (!ridge && !steps && !tower) {
        *valid = 0;
        return rule;
    }
    rule.kind = kind;
    rule.count = count;
    rule.rows = rows;
    rule.a = (double)a;
    rule.b = (double)b;
    rule.c = (double)c;
    return rule;
}

/* One row with its values as doubles, not yet scaled. */
typedef struct entries {
    double *values;
    uint16_t *columns;
    uint32_t count;
    double scale;
} entries;

static void load_row(const sd_model *model, sd_table table, uint32_t row, entries *out) {
    sd_cursor at = sd_cursor_at(model, table, row);
    int integer = model->values >= SD_INT8;
    out->count = 0;
    out->scale = (double)at.scale;
    for (uint32_t i = 0; i < at.count; i++) {
        uint32_t column = sd_cursor_column(&at, i);
        if (column >= model->dim)
            continue; /* only in an unverified file */
        out->columns[out->count] = (uint16_t)column;
        out->values[out->count++] =
            integer ? (double)sd_cursor_integer(&at, i) : (double)sd_cursor_number(&at, i);
    }
}

static double row_dot(const entries *row, const double *x) {
    double sum = 0;
    for (uint32_t i = 0; i < row->count; i++)
        sum += row->values[i] * x[row->columns[i]];
    return row->scale * sum;
}

static void row_add(const entries *row, double weight, double *target) {
    double factor = weight * row->scale;
    for (uint32_t i = 0; i < row->count; i++)
        target[row->columns[i]] += factor * row->values[i];
}

static double dot(const double *a, const double *b, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* target += matrix * x. */
static void add_product(const uint8_t *matrix, uint32_t rows, uint32_t columns, const double *x,
                        double *target) {
    uint32_t row = 0;
    if (!matrix)
        return;
    for (; row + 4 <= rows; row += 4) { /* four sums side by side, each in its order */
        const uint8_t *at = matrix + 4 * (uint64_t)row * columns;
        double a = target[row], b = target[row + 1], c = target[row + 2], d = target[row + 3];
        for (uint32_t column = 0; column < columns; column++, at += 4) {
            a += (double)sd_f32(at) * x[column];
            b += (double)sd_f32(at + 4 * (uint64_t)columns) * x[column];
            c += (double)sd_f32(at + 8 * (uint64_t)columns) * x[column];
            d += (double)sd_f32(at + 12 * (uint64_t)columns) * x[column];
        }
        target[row] = a;
        target[row + 1] = b;
        target[row + 2] = c;
        target[row + 3] = d;
    }
    matrix += 4 * (uint64_t)row * columns;
    for (; row < rows; row++)
        for (uint32_t column = 0; column < columns; column++, matrix += 4)
            target[row] += (double)sd_f32(matrix) * x[column];
}

static double weight_of(const sd_model *model, uint32_t row) {
    const uint8_t *weights = model->sections[SD_K_FOLD_WEIGHTS];
    return weights ? (double)sd_f32(weights + 4 * (uint64_t)row) : 1.0;
}

/* e^x for x within -700 … 700: 2^k times a polynomial in the rest, below 1e-8 off. Without branches
 * and calls, so that a compiler does several at once. */
static double exponential(double x) {
    union {
        double value;
        uint64_t bits;
    } shifted, power;
    shifted.value = x * 1.4426950408889634 + SD_ROUNDING_SHIFT;
    double k = shifted.value - SD_ROUNDING_SHIFT;
    double r = (x - k * 6.93147180369123816490e-01) - k * 1.90821492927058770002e-10;
    double p = 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1;
    p = p * r + 1;
    power.bits = (shifted.bits + 1023) << 52; /* the sum's lowest bits are those of k */
    return p * power.value;
}

/* q to length 1; 0 where it has none. */
static int normalize(double *q, uint32_t dim) {
    double length = sd_square_root(dot(q, q, dim));
    if (!(length > 0))
        return 0;
    for (uint32_t i = 0; i < dim; i++)
        q[i] /= length;
    return 1;
}

static void add_entry(const uint8_t *column, const uint8_t *value, double factor, double *target) {
    target[*column] += factor * (double)(int8_t)*value;
}

/* target += factor * row of a slice of int8 values, in the order of columns. An unverified file may
 * have a base beyond dim. */
static void add_lane(const sd_cursor *slice, uint32_t lane, uint32_t dim, double factor,
                     double *target) {
    const uint8_t *columns = slice->columns, *values = slice->values;
    double *const first = target;
    for (uint32_t step = 0; step < (slice->count & ~3u); step += 4) {
        target = first + sd_min(sd_base(slice->bases, step), dim);
        for (uint32_t i = 0; i < 4; i++)
            add_entry(columns + 4 * lane + i, values + 4 * lane + i, factor, target);
        columns += 4 * SD_SLICE_ROWS;
        values += 4 * SD_SLICE_ROWS;
    }
    if (slice->count & 3)
        target = first + sd_min(sd_base(slice->bases, slice->count), dim);
    if (slice->count & 2) {
        for (uint32_t i = 2 * lane; i < 2 * lane + 2; i++)
            add_entry(columns + i, values + i, factor, target);
        columns += 2 * SD_SLICE_ROWS;
        values += 2 * SD_SLICE_ROWS;
    }
    if (slice->count & 1)
        add_entry(columns + lane, values + lane, factor, target);
}

/* What the sample's rows of a block add to the pull and to the sum of the powers: every fourth row
 * from `phase` on, those whose bit is set in `left_out` left out. */
static double add_comb(const sd_model *model, const sd_query *query, double sharpness,
                       uint32_t first, uint32_t phase, uint64_t left_out, entries *row,
                       double *pull) {
    float scores[SD_SLICE_ROWS];
    double powers[SD_COMB_ROWS], sum = 0;
    uint32_t lanes[SD_COMB_ROWS], count = sd_min(model->n_items - first, SD_SLICE_ROWS);
    int sliced = model->layout == SD_SLICED;
    const uint8_t *scales = model->sections[SD_K_ITEM_SCALES] + 4 * (uint64_t)first;
    sd_cursor slice = sd_cursor_at(model, SD_ITEMS, first);
    uint32_t groups = sd_choose_scan(model)(model, query, first, sliced ? SD_SLICE_ROWS : count,
                                            -SD_INFINITY, scores);
    for (uint32_t i = 0, lane = phase; i < SD_COMB_ROWS; i++, lane += 4) {
        while (lane >= count) /* (phase + 4 i) % count; 32-bit ARM may lack division */
            lane -= count;
        lanes[i] = lane;
        double x = groups ? ((double)scores[lanes[i]] - 1) * sharpness : 0;
        x = x > -700 ? x : -700;
        powers[i] = x < 700 ? x : 700;
    }
    for (uint32_t i = 0; i < SD_COMB_ROWS; i++)
        powers[i] = exponential(powers[i]);
    for (uint32_t i = 0; i < SD_COMB_ROWS; i++) {
        uint32_t lane = lanes[i];
        if (left_out >> lane & 1)
            continue;
        sum += powers[i];
        if (sliced && model->values == SD_INT8) {
            add_lane(&slice, lane, model->dim, powers[i] * (double)sd_f32(scales + 4 * lane), pull);
            continue;
        }
        load_row(model, SD_ITEMS, first + lane, row);
        row_add(row, powers[i], pull);
    }
    return sum;
}

/* The first row of the block that a comb is in. */
static uint32_t comb_block(uint32_t comb) { return comb / 4 * SD_SLICE_ROWS; }

/* Ask for a whole slice. */
static void prefetch_block(const sd_model *model, uint32_t first) {
    if (SD_NO_PREFETCH || model->layout != SD_SLICED)
        return;
    sd_cursor at = sd_cursor_at(model, SD_ITEMS, first);
    for (uint32_t step = 0; step < at.count; step++) {
        SD_PREFETCH(at.columns + SD_SLICE_ROWS * step);
        SD_PREFETCH(at.values + (SD_SLICE_ROWS * step >> (at.kind == SD_INT4)));
    }
}

/* Gradient steps of the sampled softmax on the user's unit vector. */
static void refine(const sd_model *model, sd_rule rule, const uint32_t *history, uint32_t count,
                   double *mean, double *pull, entries *row, void *table, double *q) {
    uint32_t dim = model->dim, shift = 0, combs = rule.rows / SD_COMB_ROWS;
    uint32_t blocks = model->n_items < SD_SLICE_ROWS ? 1 : model->n_items / SD_SLICE_ROWS;
    double total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += weight_of(model, history[i]);
    if (!(total > 0) || !normalize(q, dim))
        return;
    for (uint32_t i = 0; i < dim; i++)
        mean[i] /= total;
    while (rule.count * combs >> shift > 1)
        shift++;
    for (uint32_t step = 0; step < rule.count; step++) {
        sd_query query;
        double sum = 0;
        uint32_t next = 0;
        sd_quantize(model, q, &query, table);
        for (uint32_t i = 0; i < dim; i++)
            pull[i] = 0;
        for (uint32_t i = 0; i < combs; i++) {
            uint64_t place = (uint64_t)i * rule.count + step, left_out = 0;
            uint32_t comb = (uint32_t)(place * 4 * blocks >> shift);
            uint32_t first = comb_block(comb);
            if (i + 1 < combs)
                prefetch_block(model,
                               comb_block((uint32_t)((place + rule.count) * 4 * blocks >> shift)));
            while (next < count && history[next] < first)
                next++;
            for (uint32_t h = next; h < count && history[h] - first < SD_SLICE_ROWS; h++)
                left_out |= (uint64_t)1 << (history[h] - first);
            sum += add_comb(model, &query, rule.b, first, comb % 4, left_out, row, pull);
        }
        double length = rule.a * (double)(rule.count - step) / (double)rule.count;
        for (uint32_t i = 0; i < dim; i++)
            q[i] += length * (mean[i] - (sum > 0 ? rule.c * (pull[i] / sum) : 0));
        if (!normalize(q, dim))
            return;
    }
}

/* Conjugate gradients on (a + matrix + sum of weight v v') q = sum of weight v, from 0; r holds the
 * right side. */
static void solve(const sd_model *model, sd_rule rule, const uint32_t *history, uint32_t count,
                  double *r, double *p, double *ap, entries *row, double *q) {
    uint32_t dim = model->dim;
    double square = dot(r, r, dim);
    for (uint32_t i = 0; i < dim; i++)
        p[i] = r[i];
    for (uint32_t step = 0; step < rule.count && square > 0; step++) {
        for (uint32_t i = 0; i < dim; i++)
            ap[i] = rule.a * p[i];
        add_product(model->sections[SD_K_FOLD_MATRIX], dim, dim, p, ap);
        for (uint32_t i = 0; i < count; i++) {
            load_row(model, SD_ITEMS, history[i], row);
            row_add(row, weight_of(model, history[i]) * row_dot(row, p), ap);
        }
        double curvature = dot(p, ap, dim);
        if (!(curvature > 0))
            return;
        double alpha = square / curvature;
        for (uint32_t i = 0; i < dim; i++) {
            q[i] += alpha * p[i];
            r[i] -= alpha * ap[i];
        }
        double after = dot(r, r, dim), beta = after / square;
        for (uint32_t i = 0; i < dim; i++)
            p[i] = r[i] + beta * p[i];
        square = after;
    }
}

/* Dense layers, with tanh after all but the last; q at length 1 goes in and their output comes out.
 * No layer is wider than q, and room has as many numbers. */
static void climb(const sd_model *model, sd_rule rule, double *room, double *q) {
    const uint8_t *layer = model->sections[SD_K_FOLD_TOWER];
    uint32_t dim = model->dim, width = dim;
    if (!normalize(q, dim))
        return;
    for (uint32_t i = 0; i < rule.count; i++) {
        uint32_t out = i + 1 < rule.count ? rule.rows : dim;
        const uint8_t *bias = layer + 4 * out * width;
        for (uint32_t j = 0; j < out; j++)
            room[j] = (double)sd_f32(bias + 4 * j);
        add_product(layer, out, width, q, room);
        layer = bias + 4 * out;
        for (uint32_t j = 0; j < out; j++) {
            double x = 2 * room[j];
            x = x > -700 ? x : -700;
            double hidden = 1 - 2 / (exponential(x < 700 ? x : 700) + 1);
            q[j] = i + 1 < rule.count ? hidden : room[j];
        }
        width = out;
    }
}

/* Ask for all that the rows of a history need: what leads to them, then their entries. */
static void prefetch_rows(const sd_model *model, const uint32_t *rows, uint32_t count) {
    const uint32_t most = SD_NO_PREFETCH ? 0 : 64; /* more would push one another out again */
    for (uint32_t i = 0; i < count && i < most; i++) {
        uint64_t pointer = model->layout == SD_SLICED ? rows[i] / SD_SLICE_ROWS : rows[i];
        SD_PREFETCH(model->sections[SD_K_ITEM_POINTERS] + 4 * pointer);
        SD_PREFETCH(model->sections[SD_K_ITEM_SCALES] + 4 * (uint64_t)rows[i]);
    }
    for (uint32_t i = 0; i < count && i < most; i++) {
        sd_cursor at = sd_cursor_at(model, SD_ITEMS, rows[i]);
        if (at.layout == SD_CSR) {
            SD_PREFETCH(at.columns + (at.wide ? 2 : 1) * at.begin);
            uint32_t width = at.kind == SD_F32 ? 4 : at.kind == SD_F16 ? 2 : 1;
            /* No 64-bit division, which 32-bit ARM has to call a library for. */
            SD_PREFETCH(at.values + (at.begin * width >> (at.kind == SD_INT4)));
            continue;
        }
        for (uint32_t place = 0; place < at.count; place += at.count - place >= 4 ? 4 : 2) {
            uint32_t offset = sd_slice_offset(at.count, at.lane, place);
            SD_PREFETCH(at.columns + offset);
            SD_PREFETCH(at.values + offset / (at.kind == SD_INT4 ? 2 : 1));
        }
    }
}

/* add_lane adds to a column without looking whether it is below dim, so its sums have room for all.
 */
uint64_t sd_fold_bytes(const sd_model *model) {
    return 34 * (uint64_t)model->dim + 8 * SD_MAX_BYTE_DIM;
}

void sd_load_query(const sd_model *model, sd_table table, uint32_t row, void *memory, double *q) {
    double *values = memory;
    entries loaded = {values, (uint16_t *)(values + model->dim), 0, 0};
    load_row(model, table, row, &loaded);
    row_add(&loaded, 1.0, q);
}

void sd_fold_in(const sd_model *model, const uint32_t *history, uint32_t count, void *memory,
                void *table, double *q) {
    uint32_t dim = model->dim;
    int valid, matrix = model->sections[SD_K_FOLD_MATRIX] != NULL;
    sd_rule rule = sd_fold_rule(model, &valid);
    double *sum = memory;
    entries row = {sum + 3 * dim, (uint16_t *)(sum + 4 * dim), 0, 0};
    prefetch_rows(model, history, count);
    for (uint32_t i = 0; i < dim; i++)
        sum[i] = 0;
    for (uint32_t i = 0; i < count; i++) {
        sd_cursor at = sd_cursor_at(model, SD_ITEMS, history[i]);
        double weight = weight_of(model, history[i]);
        if (at.layout == SD_SLICED && at.kind == SD_INT8) {
            add_lane(&at, at.lane, dim, weight * (double)at.scale, sum);
            continue;
        }
        load_row(model, SD_ITEMS, history[i], &row);
        row_add(&row, weight, sum);
    }
    if (rule.kind == SD_RULE_RIDGE) {
        solve(model, rule, history, count, sum, sum + dim, sum + 2 * dim, &row, q);
        return;
    }
    add_product(model->sections[SD_K_FOLD_MATRIX], dim, dim, sum, q);
    for (uint32_t i = 0; !matrix && i < dim; i++)
        q[i] = sum[i];
    if (rule.kind == SD_RULE_STEPS)
        refine(model, rule, history, count, sum, sum + dim, &row, table, q);
    if (rule.kind == SD_RULE_TOWER)
        climb(model, rule, sum, q);
}
