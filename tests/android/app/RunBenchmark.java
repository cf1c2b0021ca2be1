package org.sparsedevice.demo;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Collections;
import org.sparsedevice.Options;
import org.sparsedevice.SparseRecommender;

/** The app's benchmark without the app: MODEL QUERIES. */
public final class RunBenchmark {
    public static void main(final String[] arguments) throws Exception {
        String queries = new String(Files.readAllBytes(Paths.get(arguments[1])), StandardCharsets.UTF_8);
        System.out.print(Json.write(Benchmark.run(new Benchmark.Opener() {
            @Override
            public SparseRecommender open(boolean verify) {
                return SparseRecommender.open(new File(arguments[0]), new Options().verify(verify));
            }
        }, queries, 20, Collections.<String, Object>singletonMap("cpu", "a test"))));
    }
}
