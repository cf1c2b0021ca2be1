/* sd-recommend MODEL [-k N] [-u USER | ITEM ...]
 *
 * Prints the k best items for a history of item ids, or for a user whose row the file ships: score,
 * id and title, separated by tabs, best first. Exit codes: 0 done, 2 something the user can mend.
 */
#include "sd_file.h"

static const char TOOL[] = "sd-recommend";

static int usage(void) {
    fprintf(stderr, "usage: sd-recommend MODEL [-k N] [-u USER | ITEM ...]\n");
    return 2;
}

static void print_text(const sd_model *model, sd_text text, uint32_t row) {
    static char string[SD_MAX_STRING];
    uint32_t length;
    if (!sd_string(model, text, row, string, SD_MAX_STRING, &length))
        fwrite(string, 1, length, stdout);
}

int main(int argc, char **argv) {
    sd_model model;
    sd_request request = {.source = SD_FROM_HISTORY, .k = 10, .exclude_seen = 1};
    const char *user = NULL;
    if (argc < 2 || argv[1][0] == '-')
        return usage();
    uint32_t *history = take_memory(sizeof(uint32_t) * (uint64_t)argc);
    open_file(TOOL, argv[1], 1, &model);
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "-k") && i + 1 < argc) {
            request.k = read_count(argv[++i]);
            if (!request.k)
                return usage();
        } else if (!strcmp(argv[i], "-u") && i + 1 < argc) {
            user = argv[++i];
        } else if (!strcmp(argv[i], "-k") || !strcmp(argv[i], "-u")) {
            return usage();
        } else {
            uint32_t row = sd_find(&model, SD_ITEMS, argv[i], strlen(argv[i]));
            if (row == SD_NO_ROW)
                fprintf(stderr, "%s: not in the catalogue, ignored: %s\n", TOOL, argv[i]);
            else
                history[request.n_history++] = row;
        }
    }
    request.history = history;
    if (user) {
        if (argc > 2 && request.n_history)
            return usage();
        request.source = SD_FROM_USER;
        request.row = sd_find(&model, SD_USERS, user, strlen(user));
        if (request.row == SD_NO_ROW)
            refuse(TOOL, user, "the file does not ship this user; give item ids instead");
    }
    uint32_t room = request.k < model.n_items ? request.k : model.n_items, count = 0;
    uint64_t scratch_bytes = sd_scratch_bytes(&model, &request);
    void *scratch = take_memory(scratch_bytes);
    uint32_t *rows = take_memory(sizeof(uint32_t) * (uint64_t)room);
    float *scores = take_memory(sizeof(float) * (uint64_t)room);
    sd_status status = sd_recommend(&model, &request, scratch, scratch_bytes, rows, scores, &count);
    if (status)
        refuse(TOOL, argv[1], sd_status_name(status));
    for (uint32_t i = 0; i < count; i++) {
        printf("%.9g\t", (double)scores[i]);
        print_text(&model, SD_ITEM_ID, rows[i]);
        putchar('\t');
        print_text(&model, SD_TITLE, rows[i]);
        putchar('\n');
    }
    free(scores);
    free(rows);
    free(scratch);
    free(history);
    return 0;
}
