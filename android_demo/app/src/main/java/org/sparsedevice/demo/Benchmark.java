package org.sparsedevice.demo;

import java.io.BufferedReader;
import java.io.FileReader;
import java.io.IOException;
import java.io.UnsupportedEncodingException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.text.SimpleDateFormat;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TimeZone;
import org.sparsedevice.SparseRecommender;

/**
 * What {@code sparsedevice bench} does on a computer, on this device: the same phases, the same queries, the same
 * names in the result. A query is {@code recommend(ids, k)}, from item ids to item ids, one at a time.
 */
final class Benchmark {
    private static final int WARMUP = 20, REPETITIONS = 200;
    private static final double MIN_SECONDS = 1.0;
    /** What bench finds out on a computer, and an app cannot. */
    private static final String[] HIDDEN = {"resident_file_bytes", "retained_bytes", "cached_at_load_bytes",
        "peak_resident_bytes", "energy_uj", "batch", "cpus", "accuracy", "sha256"};

    /** Opens the model that is measured. */
    interface Opener {
        SparseRecommender open(boolean verify);
    }

    private Benchmark() {}

    /**
     * Measure.
     *
     * @param histories rows, one history a line, as the exporter wrote them
     * @param device what the platform's own functions say about it: cpu, os, page_bytes
     * @return JSON-ready; what this platform hides is null
     */
    static Map<String, Object> run(Opener opener, String histories, int k, Map<String, Object> device) {
        long start = System.nanoTime();
        SparseRecommender verified = opener.open(true);
        double verifyMs = (System.nanoTime() - start) / 1e6;
        List<List<String>> queries = queries(verified, histories);
        verified.close();

        long before = memory("Anonymous");
        start = System.nanoTime();
        SparseRecommender recommender = opener.open(false);
        double loadMs = (System.nanoTime() - start) / 1e6;
        double[] first = time(recommender, queries, k, 1, 0);
        double[] warm = time(recommender, queries, k, WARMUP, 0);
        long after = memory("Anonymous");
        double[] samples = time(recommender, queries, k, REPETITIONS, MIN_SECONDS);

        Map<String, Object> result = new LinkedHashMap<>();
        result.put("harness", "app");
        result.put("target", "android");
        String engine = recommender.engine();
        result.put("export", "android");
        result.put("backend", engine.startsWith("native") ? "jni" : "java");
        result.put("k", k);
        result.put("load_ms", loadMs);
        result.put("verify_ms", verifyMs);
        result.put("first_query_us", first[0]);
        result.put("warmup_us", mean(warm));
        summarise(samples, result);
        result.put("file_bytes", recommender.fileBytes());
        result.put("anonymous_bytes", before < 0 || after < 0 ? null : after - before);
        result.put("pss_bytes", counted(memory("Pss")));
        result.put("resident_bytes", counted(memory("Rss")));
        for (String hidden : HIDDEN) {
            result.put(hidden, null);
        }
        result.put("energy_note", "an app reads no counters");
        result.put("phases", new LinkedHashMap<String, Object>());
        if (before < 0) {
            result.put("memory_note", "this platform has no /proc/self/smaps_rollup (Linux 4.14 and later do)");
        }
        result.put("threads", 1);
        result.put("page_cache", "warm");
        result.put("clock_overhead_ns", clockOverhead());
        result.put("excluded", "reading the queries, waiting for the thread, drawing the answer");
        SimpleDateFormat time = new SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'+00:00'", Locale.ROOT);
        time.setTimeZone(TimeZone.getTimeZone("UTC"));
        result.put("time_utc", time.format(new Date()));
        result.put("sparsedevice", recommender.metadata().get("sparsedevice"));
        result.put("trace", trace(recommender, queries, histories));
        result.put("environment", environment(device));
        if (engine.startsWith("native, ")) {
            result.put("kernel", engine.substring("native, ".length()));
        }
        recommender.close();
        return result;
    }

    private static List<List<String>> queries(SparseRecommender recommender, String histories) {
        List<List<String>> queries = new ArrayList<>();
        for (String line : histories.trim().split("\n")) {
            List<String> ids = new ArrayList<>();
            for (String row : line.trim().split(" +")) {
                ids.add(recommender.itemId(Integer.parseInt(row)));
            }
            queries.add(ids);
        }
        return queries;
    }

    private static Object counted(long bytes) {
        return bytes < 0 ? null : bytes;
    }

    private static Map<String, Object> trace(
            SparseRecommender recommender, List<List<String>> queries, String histories) {
        int shortest = Integer.MAX_VALUE, longest = 0;
        for (List<String> query : queries) {
            shortest = Math.min(shortest, query.size());
            longest = Math.max(longest, query.size());
        }
        Map<String, Object> trace = new LinkedHashMap<>();
        trace.put("kind", "zipf histories"); // as the exporter draws them, which is as sparsedevice bench does
        trace.put("n_items", recommender.itemCount());
        trace.put("seed", 0);
        trace.put("n_queries", queries.size());
        trace.put("lengths", new int[] {shortest, longest});
        trace.put("sha256", sha256(histories));
        return trace;
    }

    private static String sha256(String text) {
        try {
            StringBuilder digits = new StringBuilder();
            for (byte part : MessageDigest.getInstance("SHA-256").digest(text.getBytes("UTF-8"))) {
                digits.append(Character.forDigit(part >> 4 & 15, 16)).append(Character.forDigit(part & 15, 16));
            }
            return digits.toString();
        } catch (NoSuchAlgorithmException | UnsupportedEncodingException error) {
            throw new AssertionError(error); // every Java has both
        }
    }

    private static Map<String, Object> environment(Map<String, Object> device) {
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("cpu", null);
        about.put("machine", System.getProperty("os.arch"));
        about.put("cores", Runtime.getRuntime().availableProcessors());
        String frequencies = "/sys/devices/system/cpu/cpu0/cpufreq/";
        about.put("governor", firstLine(frequencies + "scaling_governor"));
        about.put("frequency_khz", firstLine(frequencies + "scaling_cur_freq"));
        about.put("os", System.getProperty("os.name") + " " + System.getProperty("os.version"));
        about.putAll(device);
        return about;
    }

    private static String firstLine(String path) {
        try {
            BufferedReader lines = new BufferedReader(new FileReader(path));
            try {
                return lines.readLine();
            } finally {
                lines.close();
            }
        } catch (IOException error) {
            return null; // hidden from apps
        }
    }

    /** Microseconds of each call, from at least {@code repetitions} calls and at least {@code seconds}. */
    private static double[] time(
            SparseRecommender recommender, List<List<String>> queries, int k, int repetitions, double seconds) {
        double[] samples = new double[Math.max(repetitions, 1024)];
        long end = System.nanoTime() + (long) (seconds * 1e9);
        int n = 0;
        while (n < repetitions || System.nanoTime() - end < 0) {
            List<String> query = queries.get(n % queries.size());
            long start = System.nanoTime();
            recommender.recommend(query, k);
            long took = System.nanoTime() - start;
            if (n == samples.length) {
                samples = Arrays.copyOf(samples, 2 * n);
            }
            samples[n++] = took / 1e3;
        }
        return Arrays.copyOf(samples, n);
    }

    private static double mean(double[] samples) {
        double sum = 0;
        for (double sample : samples) {
            sum += sample;
        }
        return sum / samples.length;
    }

    private static void summarise(double[] samples, Map<String, Object> result) {
        double[] sorted = samples.clone();
        Arrays.sort(sorted);
        double mean = mean(samples), squares = 0;
        for (double sample : samples) {
            squares += (sample - mean) * (sample - mean);
        }
        result.put("p50_us", percentile(sorted, 50));
        result.put("p90_us", percentile(sorted, 90));
        result.put("p99_us", percentile(sorted, 99));
        result.put("mean_us", mean);
        result.put("std_us", Math.sqrt(squares / samples.length));
        result.put("min_us", sorted[0]);
        result.put("max_us", sorted[sorted.length - 1]);
        result.put("n", samples.length);
        result.put("queries_per_second", 1e6 / mean);
    }

    /** By linear interpolation between the two samples around it. */
    static double percentile(double[] sorted, double percent) {
        double place = percent / 100 * (sorted.length - 1);
        int below = (int) place, above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }

    private static double clockOverhead() {
        double[] samples = new double[1000];
        for (int i = 0; i < samples.length; i++) {
            long start = System.nanoTime();
            samples[i] = System.nanoTime() - start;
        }
        Arrays.sort(samples);
        return percentile(samples, 50);
    }

    /** Bytes of a line of this process's memory as the kernel counts it; -1 where it does not. */
    static long memory(String name) {
        try {
            BufferedReader lines = new BufferedReader(new FileReader("/proc/self/smaps_rollup"));
            try {
                for (String line; (line = lines.readLine()) != null; ) {
                    if (line.startsWith(name + ":")) {
                        return 1024 * Long.parseLong(line.replaceAll("[^0-9]", ""));
                    }
                }
            } finally {
                lines.close();
            }
        } catch (IOException error) {
            return -1; // before Linux 4.14, or hidden from apps
        }
        return -1;
    }
}
