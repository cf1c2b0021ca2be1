package org.sparsedevice.harness;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.sparsedevice.ClosedRecommenderException;
import org.sparsedevice.SparseRecommender;

/** Eight threads ask one model the same questions; then it is closed while they ask. */
final class Threads {
    private static final int THREADS = 8, QUESTIONS = 200;

    private Threads() {}

    private static String ask(SparseRecommender model, int question) {
        String id = model.itemId(question % model.itemCount());
        return model.recommend(Collections.singletonList(id), 1 + question % 30) + " "
                + model.similar(id, 3) + " " + model.titles(Collections.singletonList(id));
    }

    static void run(final SparseRecommender model, Map<String, Object> answer) {
        final List<String> wanted = new ArrayList<>();
        for (int i = 0; i < QUESTIONS; i++) {
            wanted.add(ask(model, i));
        }
        ExecutorService pool = Executors.newFixedThreadPool(THREADS);
        List<Future<Integer>> same = new ArrayList<>();
        for (int thread = 0; thread < THREADS; thread++) {
            final int from = thread * 31;
            same.add(pool.submit(new Callable<Integer>() {
                @Override
                public Integer call() {
                    int equal = 0;
                    for (int i = 0; i < QUESTIONS; i++) {
                        int question = (from + i) % QUESTIONS;
                        equal += ask(model, question).equals(wanted.get(question)) ? 1 : 0;
                    }
                    return equal;
                }
            }));
        }
        answer.put("equal", sum(same));
        answer.put("asked", THREADS * QUESTIONS);
        List<Future<Integer>> closed = new ArrayList<>();
        for (int thread = 0; thread < THREADS; thread++) {
            closed.add(pool.submit(new Callable<Integer>() {
                @Override
                public Integer call() {
                    for (int i = 0; ; i++) {
                        try {
                            ask(model, i % QUESTIONS);
                        } catch (ClosedRecommenderException error) {
                            return 1;
                        }
                    }
                }
            }));
        }
        model.close();
        answer.put("closed", sum(closed));
        answer.put("threads", THREADS);
        pool.shutdown();
    }

    private static int sum(List<Future<Integer>> parts) {
        int total = 0;
        for (Future<Integer> part : parts) {
            try {
                total += part.get();
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            } catch (ExecutionException error) {
                throw new IllegalStateException(error.getCause());
            }
        }
        return total;
    }
}
