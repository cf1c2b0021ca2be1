package org.sparsedevice.demo;

import android.app.Activity;
import android.content.Intent;
import android.os.Build;
import android.os.Bundle;
import android.system.Os;
import android.system.OsConstants;
import android.view.View;
import android.widget.Button;
import android.widget.TextView;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.sparsedevice.SparseRecommender;

/**
 * Measures the model on this device and writes what {@code sparsedevice bench --output json} writes.
 *
 * <p>From a computer: {@code adb shell am start -n org.sparsedevice.demo/.BenchmarkActivity --ez run true}, then
 * {@code adb pull /sdcard/Android/data/org.sparsedevice.demo/files/bench.json}.
 */
public final class BenchmarkActivity extends Activity {
    private static final int K = 20;

    private Button run, share;
    private TextView result;
    private String json;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.benchmark);
        run = (Button) findViewById(R.id.run);
        share = (Button) findViewById(R.id.share);
        result = (TextView) findViewById(R.id.result);
        run.setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View clicked) {
                measure();
            }
        });
        share.setOnClickListener(new View.OnClickListener() {
            @Override
            public void onClick(View clicked) {
                startActivity(Intent.createChooser(new Intent(Intent.ACTION_SEND).setType("application/json")
                        .putExtra(Intent.EXTRA_TEXT, json), getString(R.string.share)));
            }
        });
        if (getIntent().getBooleanExtra("run", false)) {
            measure();
        }
    }

    private void measure() {
        final Catalogue catalogue = Catalogue.of(this);
        run.setEnabled(false);
        result.setText(R.string.running);
        catalogue.run(new Catalogue.Task<String>() {
            @Override
            String ask(SparseRecommender unused) throws IOException {
                return Json.write(Benchmark.run(new Benchmark.Opener() {
                    @Override
                    public SparseRecommender open(boolean verify) {
                        return catalogue.open(verify);
                    }
                }, catalogue.read(Catalogue.QUERIES), K, device()));
            }

            @Override
            void show(String text) {
                json = text;
                result.setText(getString(R.string.saved, save(text)) + "\n\n" + text);
                run.setEnabled(true);
                share.setEnabled(true);
            }

            @Override
            void failed(String message) {
                result.setText(message);
                run.setEnabled(true);
            }
        });
    }

    private String save(String text) {
        File file = new File(getExternalFilesDir(null), "bench.json");
        try {
            FileOutputStream out = new FileOutputStream(file);
            try {
                out.write(text.getBytes("UTF-8"));
            } finally {
                out.close();
            }
            return file.toString();
        } catch (IOException error) {
            return error.getMessage();
        }
    }

    private static Map<String, Object> device() {
        Map<String, Object> about = new LinkedHashMap<>();
        about.put("cpu", Build.HARDWARE + ", " + Build.MANUFACTURER + " " + Build.MODEL);
        about.put("cores_usable", Runtime.getRuntime().availableProcessors());
        about.put("cores", (int) Os.sysconf(OsConstants._SC_NPROCESSORS_CONF));
        about.put("page_bytes", Os.sysconf(OsConstants._SC_PAGESIZE));
        about.put("os", "Android " + Build.VERSION.RELEASE + ", API " + Build.VERSION.SDK_INT);
        return about;
    }
}
