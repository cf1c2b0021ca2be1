/* Runs the kernels of training on made rows and prints a hash of the bits of all that they wrote.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sd_products.h"
#include "sd_project.h"
#include "sd_softmax.h"

#define N_USERS 150u
#define N_ITEMS 333u
#define DIM 200u
#define WIDTH 13u

static uint64_t state = 88172645463325252u;

static uint32_t draw(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static float draw_float(void) { return (float)(draw() >> 8) / (float)(1u << 23) - 1.0f; }

static void *room(size_t n, size_t size) {
    void *memory = aligned_alloc(64, (n * size + 63) / 64 * 64);
    if (!memory)
        exit(1);
    memset(memory, 0, n * size);
    return memory;
}

static void print_hash(const char *name, const void *bytes, size_t n) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
    printf("%s %016llx\n", name, (unsigned long long)hash);
}

static sd_rows made_rows(uint64_t n) {
    int64_t *pointers = room(n + 1, 8);
    uint16_t *columns = room(n * WIDTH, 2);
    float *values = room(n * WIDTH, 4);
    for (uint64_t row = 0; row < n; row++) {
        pointers[row + 1] = (int64_t)((row + 1) * WIDTH);
        uint32_t found = 0;
        for (uint32_t column = 0; column < DIM && found < WIDTH; column++)
            if (draw() % (DIM - column) < WIDTH - found) {
                columns[row * WIDTH + found] = (uint16_t)column;
                values[row * WIDTH + found++] = draw_float() * 0.3f;
            }
    }
    return (sd_rows){pointers, columns, values, n, DIM};
}

int main(void) {
    const sd_rows users = made_rows(N_USERS), items = made_rows(N_ITEMS);
    const uint64_t tiles = (N_ITEMS + SD_TILE - 1) / SD_TILE;
    float *scratch = room(SD_TILE * (DIM + SD_STRIP), 4);
    float *scores = room(N_USERS * N_ITEMS, 4);
    sd_row_products(&users, &items, 0, tiles, scratch, scores);
    print_hash("scores", scores, 4 * N_USERS * N_ITEMS);

    int64_t *starts = room(N_USERS + 1, 8), *chosen = room(2 * N_USERS, 8);
    float *inclusion = room(N_ITEMS, 4), *tops = room(N_USERS, 4), *rests = room(N_USERS, 4);
    float *positives = room(2 * N_USERS, 4);
    for (uint64_t i = 0; i < N_ITEMS; i++)
        inclusion[i] = -(float)(draw() % 1000) / 300.0f;
    for (uint64_t i = 0; i < N_USERS; i++) {
        starts[i + 1] = (int64_t)(2 * i + 2);
        chosen[2 * i] = (int64_t)(draw() % 100);
        chosen[2 * i + 1] = (int64_t)(100 + draw() % 200);
    }
    float *plain = room(N_USERS * N_ITEMS, 4);
    memcpy(plain, scores, 4 * N_USERS * N_ITEMS);
    sd_softmax softmax = {N_ITEMS, inclusion, chosen, 0.15f, 0};
    sd_softmax_rows(&softmax, plain, N_USERS, starts, tops, rests, positives);
    print_hash("softmax", plain, 4 * N_USERS * N_ITEMS);
    softmax.temperature2 = 1.25f;
    sd_softmax_rows(&softmax, scores, N_USERS, starts, tops, rests, positives);
    print_hash("bilateral", scores, 4 * N_USERS * N_ITEMS);
    print_hash("rests", rests, 4 * N_USERS);

    float *gradient = room(N_ITEMS * DIM, 4), *user_gradient = room(N_USERS * DIM, 4);
    uint64_t user_strips = (N_USERS + SD_STRIP - 1) / SD_STRIP;
    uint64_t item_strips = (N_ITEMS + SD_STRIP - 1) / SD_STRIP;
    sd_strips by_user = {room(user_strips * DIM + 1, 8), room(N_USERS * WIDTH, 2),
                         room(N_USERS * WIDTH, 4)};
    sd_strips by_item = {room(item_strips * DIM + 1, 8), room(N_ITEMS * WIDTH, 2),
                         room(N_ITEMS * WIDTH, 4)};
    sd_to_strips(&users, &by_user);
    sd_to_strips(&items, &by_item);
    sd_weighted_sums(&by_user, N_USERS, DIM, scores, N_ITEMS, 1, N_ITEMS, 0, tiles, scratch,
                     gradient);
    print_hash("item gradient", gradient, 4 * N_ITEMS * DIM);
    sd_weighted_sums(&by_item, N_ITEMS, DIM, scores, 1, N_ITEMS, N_USERS, 0,
                     (N_USERS + SD_TILE - 1) / SD_TILE, scratch, user_gradient);
    print_hash("user gradient", user_gradient, 4 * N_USERS * DIM);

    uint8_t *columns = room(N_ITEMS * WIDTH, 1);
    for (uint64_t e = 0; e < N_ITEMS * WIDTH; e++)
        columns[e] = (uint8_t)items.columns[e];
    float *values = room(N_ITEMS * WIDTH, 4), *first = room(N_ITEMS * WIDTH, 4);
    memcpy(values, items.values, 4 * N_ITEMS * WIDTH);
    float *second = room(N_ITEMS, 4), *bias1 = room(N_ITEMS, 4), *bias2 = room(N_ITEMS, 4);
    int64_t *rows = room(N_ITEMS, 8);
    const sd_table table = {columns, 1, values, first, second, DIM, WIDTH, 1};
    const sd_step step = {0.3f, 0.4f, 0.9f, 0.99f};
    for (uint64_t row = 0; row < N_ITEMS; row++) {
        rows[row] = (int64_t)(N_ITEMS - 1 - row);
        bias1[row] = 0.1f;
        bias2[row] = 0.01f;
    }
    float *own = room(SD_PROJECT_SCRATCH(DIM), 4);
    for (int turn = 0; turn < 2; turn++)
        sd_project_rows(&table, rows, N_ITEMS, gradient, bias1, bias2, &step, own);
    print_hash("columns", columns, N_ITEMS * WIDTH);
    print_hash("values", values, 4 * N_ITEMS * WIDTH);
    print_hash("first", first, 4 * N_ITEMS * WIDTH);
    print_hash("second", second, 4 * N_ITEMS);
    return 0;
}
