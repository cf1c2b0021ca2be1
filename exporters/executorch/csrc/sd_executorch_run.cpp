// sd-executorch-run MODEL.pte K [ROW ...]: recommend for a history of rows, without Python and
// without torch.
//
// Prints one line per result: row and score, best first.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

using executorch::extension::from_blob;
using executorch::extension::Module;

int main(int argc, char **argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: sd-executorch-run MODEL.pte K [ROW ...]\n");
        return 2;
    }
    Module module(argv[1], Module::LoadMode::Mmap);
    const int wanted = std::atoi(argv[2]);
    std::vector<int64_t> history{-1}, none{-1}; // -1 is padding
    for (int i = 3; i < argc; i++)
        history.push_back(std::atoll(argv[i]));
    const auto n = static_cast<int>(history.size());
    auto past = from_blob(history.data(), {n}, executorch::aten::ScalarType::Long);
    auto seen = from_blob(history.data(), {n}, executorch::aten::ScalarType::Long);
    auto user = from_blob(none.data(), {1}, executorch::aten::ScalarType::Long);
    auto like = from_blob(none.data(), {1}, executorch::aten::ScalarType::Long);
    std::vector<int64_t> all;
    auto candidates = from_blob(all.data(), {0}, executorch::aten::ScalarType::Long);
    const auto result = module.execute("forward", {past, user, like, seen, candidates});
    if (!result.ok()) {
        std::fprintf(stderr, "sd-executorch-run: %s: error 0x%x\n", argv[1],
                     static_cast<unsigned>(result.error()));
        return 2;
    }
    const auto rows = result->at(0).toTensor();
    const auto scores = result->at(1).toTensor();
    for (int i = 0; i < wanted && i < rows.numel(); i++) {
        const float score = scores.const_data_ptr<float>()[i];
        if (std::isinf(score))
            break;
        std::printf("%lld\t%.9g\n", static_cast<long long>(rows.const_data_ptr<int64_t>()[i]),
                    static_cast<double>(score));
    }
    return 0;
}
