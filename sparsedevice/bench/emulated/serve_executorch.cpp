// serve-executorch [FILE]: runs methods of ExecuTorch programs that it is asked for, without Python
// and without torch. FILE holds questions to read instead of standard input; each method is then
// run twice, the second time between the marks that the counting plugins wait for.
//
//   run PROGRAM DATA METHOD N       then N inputs; DATA is the file of the program's tables, or -
//   ok M                            then M outputs, or: failed ERROR
//
// An input or output is a line "TYPE COUNT" and its bytes; TYPE is b (bool), l (int64), f (float)
// or d (double), all of one dimension.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

using executorch::aten::ScalarType;
using executorch::extension::Module;
using executorch::runtime::EValue;

namespace {

ScalarType type_of(char name) {
    return name == 'b'   ? ScalarType::Bool
           : name == 'l' ? ScalarType::Long
           : name == 'f' ? ScalarType::Float
                         : ScalarType::Double;
}

char name_of(ScalarType type) {
    return type == ScalarType::Bool    ? 'b'
           : type == ScalarType::Long  ? 'l'
           : type == ScalarType::Float ? 'f'
                                       : 'd';
}

size_t size_of(char name) { return name == 'b' ? 1 : name == 'f' ? 4 : 8; }

Module &open(std::map<std::string, std::unique_ptr<Module>> &modules, const char *path,
             const std::string &data) {
    auto &module = modules[path];
    if (!module) {
        std::vector<std::string> files;
        if (data != "-")
            files.push_back(data);
        module = std::make_unique<Module>(path, files, Module::LoadMode::Mmap);
    }
    return *module;
}

} // namespace

int main(int argc, char **argv) {
    const bool marked = argc > 1;
    if (marked && !std::freopen(argv[1], "rb", stdin))
        return 2;
    std::map<std::string, std::unique_ptr<Module>> modules;
    char path[4096], tables[4096], method[64];
    int count = 0;
    while (std::scanf("run %4095s %4095s %63s %d", path, tables, method, &count) == 4) {
        std::getchar();
        std::vector<std::vector<char>> data(count);
        std::vector<executorch::extension::TensorPtr> tensors;
        std::vector<EValue> inputs;
        for (auto &bytes : data) {
            char type = 0;
            int n = 0;
            if (std::scanf("%c %d", &type, &n) != 2)
                return 2;
            std::getchar();
            bytes.resize(n * size_of(type) + 1);
            if (std::fread(bytes.data(), size_of(type), n, stdin) != static_cast<size_t>(n))
                return 2;
            tensors.push_back(executorch::extension::from_blob(bytes.data(), {n}, type_of(type)));
            inputs.emplace_back(*tensors.back());
        }
        Module &module = open(modules, path, tables);
        if (marked && !module.execute(method, inputs).ok())
            return 1;
        if (marked)
            __asm__ volatile("hint #0x7e" ::: "memory");
        const auto result = module.execute(method, inputs);
        if (marked)
            __asm__ volatile("hint #0x7f" ::: "memory");
        if (!result.ok()) {
            std::printf("failed 0x%x\n", static_cast<unsigned>(result.error()));
        } else {
            std::printf("ok %zu\n", result->size());
            for (const auto &value : *result) {
                const auto tensor = value.toTensor();
                std::printf("%c %zd\n", name_of(tensor.scalar_type()), tensor.numel());
                std::fwrite(tensor.const_data_ptr(), 1, tensor.nbytes(), stdout);
            }
        }
        std::fflush(stdout);
    }
    return 0;
}
