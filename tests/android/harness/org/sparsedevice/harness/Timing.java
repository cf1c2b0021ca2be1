package org.sparsedevice.harness;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.sparsedevice.SparseRecommender;

/** Times of single calls, and the bytes that a call allocates. */
final class Timing {
    private Timing() {}

    /** Ask the histories in turn: {@code warmup} calls untimed, then {@code n} timed ones. */
    @SuppressWarnings("unchecked")
    static void run(SparseRecommender model, Map<String, Object> call, Map<String, Object> answer) {
        List<List<String>> histories = (List<List<String>>) call.get("histories");
        int k = ((Double) call.get("k")).intValue(), n = ((Double) call.get("n")).intValue();
        int warmup = ((Double) call.get("warmup")).intValue();
        System.gc(); // brings the histories together, as those of an app are, which has not just read them from JSON
        for (int i = 0; i < warmup; i++) {
            model.recommend(histories.get(i % histories.size()), k);
        }
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long thread = Thread.currentThread().getId();
        long[] times = new long[n];
        long before = threads.getThreadAllocatedBytes(thread);
        for (int i = 0; i < n; i++) {
            List<String> history = histories.get(i % histories.size());
            long start = System.nanoTime();
            model.recommend(history, k);
            times[i] = System.nanoTime() - start;
        }
        long allocated = threads.getThreadAllocatedBytes(thread) - before;
        List<Long> nanoseconds = new ArrayList<>();
        for (long time : times) {
            nanoseconds.add(time);
        }
        answer.put("ns", nanoseconds);
        answer.put("allocated", allocated);
    }
}
