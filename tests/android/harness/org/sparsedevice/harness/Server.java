package org.sparsedevice.harness;

import android.content.Context;
import android.content.res.AssetManager;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.sparsedevice.DeltaException;
import org.sparsedevice.ModelUpdate;
import org.sparsedevice.Options;
import org.sparsedevice.PackedFileException;
import org.sparsedevice.Recommendation;
import org.sparsedevice.Recommendations;
import org.sparsedevice.Request;
import org.sparsedevice.SparseDeviceException;
import org.sparsedevice.SparseRecommender;
import org.sparsedevice.SparseRow;

/** Answers one JSON object a line on standard input with one on standard output. */
public final class Server {
    private final List<SparseRecommender> models = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, true, "UTF-8");
        Server server = new Server();
        for (String line; (line = in.readLine()) != null; ) {
            StringBuilder answer = new StringBuilder();
            Json.write(server.answer(asMap(Json.parse(line))), answer);
            out.println(answer);
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> asMap(Object value) {
        return (Map<String, Object>) value;
    }

    @SuppressWarnings("unchecked")
    private static List<String> strings(Object value) {
        return (List<String>) value;
    }

    private static int integer(Object value) {
        return ((Double) value).intValue();
    }

    private Map<String, Object> answer(Map<String, Object> call) {
        Map<String, Object> answer = new LinkedHashMap<>();
        try {
            if (call.get("call").equals("open")) {
                models.add(open(call));
                answer.put("model", models.size() - 1);
                answer.put("engine", models.get(models.size() - 1).engine());
            } else if (call.get("call").equals("update")) {
                ModelUpdate.apply(file(call, "base"), file(call, "delta"), file(call, "out"));
            } else if (call.get("call").equals("expand")) {
                long begin = System.nanoTime();
                ModelUpdate.expand(file(call, "compact"), file(call, "out"));
                answer.put("ns", System.nanoTime() - begin);
            } else if (call.get("call").equals("compacts")) {
                CompactFlips.run(call, answer);
            } else if (call.get("call").equals("deltas")) {
                DeltaFlips.run(call, answer);
            } else if (call.get("call").equals("flips")) {
                Flips.run(call, answer);
            } else if (call.get("call").equals("threads")) {
                Threads.run(models.get(integer(call.get("model"))), answer);
            } else {
                ask(models.get(integer(call.get("model"))), call, answer);
            }
        } catch (SparseDeviceException error) {
            answer.put("error", error.getClass().getSimpleName());
            answer.put("message", error.getMessage());
            if (error instanceof PackedFileException) {
                answer.put("promise", ((PackedFileException) error).promise().text());
            } else if (error instanceof DeltaException) {
                answer.put("promise", ((DeltaException) error).promise());
            }
        }
        return answer;
    }

    static File file(Map<String, Object> call, String name) {
        return new File((String) call.get(name));
    }

    static Options options(Map<String, Object> call) {
        return new Options().engine(Options.EngineChoice.valueOf((String) call.get("engine")))
                .verify(!Boolean.FALSE.equals(call.get("verify")));
    }

    private static SparseRecommender open(Map<String, Object> call) {
        final File file = new File((String) call.get("path"));
        if (call.get("asset") == null) {
            return SparseRecommender.open(file, options(call));
        }
        String served = call.containsKey("serves") ? (String) call.get("serves") : "model.sd";
        final AssetManager assets = new AssetManager(
                file, served, integer(call.get("start")), integer(call.get("length")));
        final File files = call.containsKey("files") ? file(call, "files") : null;
        Context context = new Context() {
            @Override
            public AssetManager getAssets() {
                return assets;
            }

            @Override
            public File getNoBackupFilesDir() {
                return files;
            }
        };
        return SparseRecommender.open(context, (String) call.get("asset"), options(call));
    }

    private static Request request(Map<String, Object> call) {
        Request request = call.get("user") == null ? Request.forHistory(strings(call.get("history")))
                : Request.forUser((String) call.get("user"));
        if (call.containsKey("k")) {
            request.k(integer(call.get("k")));
        }
        if (call.get("exclude") instanceof List) {
            request.exclude(strings(call.get("exclude")));
        } else if ("none".equals(call.get("exclude"))) {
            request.excludeNothing();
        }
        return request.candidates(strings(call.get("candidates")));
    }

    private static void ask(SparseRecommender model, Map<String, Object> call, Map<String, Object> answer) {
        switch ((String) call.get("call")) {
            case "recommend":
                write(model.recommend(request(call)), model.hasTitles(), answer);
                break;
            case "similar":
                write(model.similar((String) call.get("item"), integer(call.get("k"))), model.hasTitles(), answer);
                break;
            case "search":
                write(new ArrayList<>(model.search((String) call.get("prefix"), integer(call.get("k")))), model.hasTitles(),
                        answer);
                break;
            case "score":
                answer.put("scores", bits(model.score(request(call), strings(call.get("items")))));
                break;
            case "titles":
                answer.put("titles", model.titles(strings(call.get("items"))));
                break;
            case "lookup":
                List<Object> rows = new ArrayList<>();
                for (SparseRow row : model.lookup(strings(call.get("items")))) {
                    Map<String, Object> parts = new LinkedHashMap<>();
                    List<Object> columns = new ArrayList<>();
                    for (int column : row.columns()) {
                        columns.add(column);
                    }
                    parts.put("columns", columns);
                    parts.put("values", bits(row.values()));
                    rows.add(parts);
                }
                answer.put("rows", rows);
                break;
            case "about":
                answer.put("metadata", model.metadata());
                answer.put("items", model.itemCount());
                answer.put("users", model.userCount());
                answer.put("dim", model.dim());
                answer.put("bytes", model.fileBytes());
                answer.put("titles", model.hasTitles());
                answer.put("first", model.itemId(0));
                answer.put("contains", model.contains(model.itemId(0)) && !model.contains("no such item"));
                break;
            case "close":
                model.close();
                break;
            case "bench":
                Timing.run(model, call, answer);
                break;
            default:
                throw new IllegalArgumentException("unknown call " + call.get("call"));
        }
    }

    private static List<Integer> bits(float[] values) {
        List<Integer> bits = new ArrayList<>();
        for (float value : values) {
            bits.add(Float.floatToRawIntBits(value));
        }
        return bits;
    }

    private static void write(List<Recommendation> found, boolean titled, Map<String, Object> answer) {
        List<Object> items = new ArrayList<>(), titles = new ArrayList<>(), rows = new ArrayList<>();
        float[] scores = new float[found.size()];
        for (int i = 0; i < found.size(); i++) {
            Recommendation item = found.get(i);
            items.add(item.id());
            titles.add(item.title());
            rows.add(item.row());
            scores[i] = item.score();
        }
        answer.put("items", items);
        answer.put("titles", titled ? titles : null);
        answer.put("rows", rows);
        answer.put("scores", bits(scores));
        if (found instanceof Recommendations) {
            answer.put("unknown", ((Recommendations) found).unknown());
        }
    }
}
