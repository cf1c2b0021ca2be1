// sparsedevice::score_topk for ExecuTorch: the C core on the bytes of a packed file that the
// program carries.
//
//   score_topk(Tensor model, Tensor history, Tensor user, Tensor like, Tensor excluded, Tensor
//   candidates, int k)
//       -> (Tensor rows, Tensor scores)
//
// model is uint8[bytes]; the others are int64 with one dimension, user and like of one element.
// rows is int64[k] and scores float[k]; places for which no row is eligible hold -1 and minus
// infinity.
#include <executorch/runtime/kernel/kernel_includes.h>
#include <executorch/runtime/kernel/operator_registry.h>

#include <limits>

extern "C" {
#include "sd_rows.h"
}

namespace {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::Kernel;
using executorch::runtime::KernelRuntimeContext;
using executorch::runtime::Span;

bool is_list(const Tensor &tensor) {
    return tensor.dim() == 1 && tensor.scalar_type() == ScalarType::Long;
}

sd_list list_of(const Tensor &tensor) {
    return {tensor.const_data_ptr<int64_t>(), static_cast<uint64_t>(tensor.numel())};
}

// Arguments: model, history, user, like, excluded, candidates, k, rows (out), scores (out), and
// what is returned.
void score_topk(KernelRuntimeContext &context, Span<EValue *> stack) {
    const Tensor model_bytes = stack[0]->toTensor();
    Tensor rows = stack[7]->toTensor(), scores = stack[8]->toTensor();
    const int64_t k = stack[6]->toInt();
    bool fits = model_bytes.dim() == 1 && model_bytes.scalar_type() == ScalarType::Byte;
    for (int i = 1; i <= 5; i++)
        fits = fits && is_list(stack[i]->toTensor());
    fits = fits && stack[2]->toTensor().numel() == 1 && stack[3]->toTensor().numel() == 1;
    fits = fits && is_list(rows) && scores.scalar_type() == ScalarType::Float;
    fits = fits && rows.numel() == k && scores.numel() == k;
    sd_model model;
    if (!fits || sd_rows_open(&model, model_bytes.const_data_ptr(),
                              static_cast<uint64_t>(model_bytes.numel()))) {
        context.fail(Error::InvalidArgument);
        return;
    }
    int64_t *best = rows.mutable_data_ptr<int64_t>();
    float *values = scores.mutable_data_ptr<float>();
    uint32_t count = 0;
    const sd_status status = sd_rows_top(
        &model, list_of(stack[1]->toTensor()), stack[2]->toTensor().const_data_ptr<int64_t>()[0],
        stack[3]->toTensor().const_data_ptr<int64_t>()[0], list_of(stack[4]->toTensor()),
        list_of(stack[5]->toTensor()), k, best, values, &count);
    if (status) {
        context.fail(Error::MemoryAllocationFailed);
        return;
    }
    for (int64_t i = count; i < k; i++) {
        best[i] = -1;
        values[i] = -std::numeric_limits<float>::infinity();
    }
}

const Kernel kernels[] = {Kernel("sparsedevice::score_topk.out", score_topk)};
[[maybe_unused]] const Error registered = executorch::runtime::register_kernels({kernels, 1});

} // namespace
