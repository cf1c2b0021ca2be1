// Runs an ExecuTorch program over a query: xnnpack PROGRAM DIM REPETITIONS. One thread.
// Linked against the shared libraries of the executorch wheel for arm64.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor_ptr_maker.h>

#include <cstdio>
#include <cstdlib>

namespace executorch::extension::threadpool {
class ThreadPool {
  public:
    bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool *get_threadpool();
} // namespace executorch::extension::threadpool

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    executorch::extension::threadpool::get_threadpool()->_unsafe_reset_threadpool(1);
    executorch::extension::Module module(argv[1]);
    int dim = std::atoi(argv[2]);
    std::vector<float> query(dim);
    for (int i = 0; i < dim; i++)
        query[i] = (float)(i * 3 - 90);
    auto input = executorch::extension::from_blob(query.data(), {1, dim});
    double sum = 0;
    for (int i = std::atoi(argv[3]); i > 0; i--) {
        auto result = module.forward(input);
        if (!result.ok()) {
            std::fprintf(stderr, "forward: error %d\n", (int)result.error());
            return 1;
        }
        auto scores = result->at(0).toTensor();
        sum += scores.const_data_ptr<float>()[scores.numel() - 1];
    }
    std::printf("%.6g\n", sum);
    return 0;
}
