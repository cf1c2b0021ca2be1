package org.sparsedevice.demo;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.sparsedevice.SparseDeviceException;
import org.sparsedevice.SparseRecommender;

/** The app's model, opened once, and the thread on which it is asked. */
final class Catalogue {
    static final String QUERIES = "queries.txt";

    private static Catalogue only;

    private final ExecutorService thread = Executors.newSingleThreadExecutor();
    private final Handler main = new Handler(Looper.getMainLooper());
    private final Context context;
    private SparseRecommender recommender;

    /** Work on the model's thread, then on the main thread. */
    abstract static class Task<T> {
        abstract T ask(SparseRecommender recommender) throws IOException;

        abstract void show(T answer);

        abstract void failed(String message);
    }

    private Catalogue(Context context) {
        this.context = context;
    }

    static synchronized Catalogue of(Context context) {
        if (only == null) {
            only = new Catalogue(context.getApplicationContext());
        }
        return only;
    }

    SparseRecommender open(boolean verify) {
        return ModelAsset.open(context, verify);
    }

    <T> void run(final Task<T> task) {
        thread.execute(new Runnable() {
            @Override
            public void run() {
                try {
                    if (recommender == null) {
                        recommender = open(true);
                    }
                    final T answer = task.ask(recommender);
                    main.post(new Runnable() {
                        @Override
                        public void run() {
                            task.show(answer);
                        }
                    });
                } catch (SparseDeviceException error) {
                    fail(task, error.getMessage());
                } catch (IOException error) {
                    fail(task, "the app's package lacks a file, export and build it again: " + error.getMessage());
                }
            }
        });
    }

    private void fail(final Task<?> task, final String message) {
        main.post(new Runnable() {
            @Override
            public void run() {
                task.failed(message);
            }
        });
    }

    /** A text asset. */
    String read(String asset) throws IOException {
        InputStream in = context.getAssets().open(asset);
        try {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            byte[] block = new byte[8192];
            for (int n; (n = in.read(block)) > 0; ) {
                out.write(block, 0, n);
            }
            return out.toString("UTF-8");
        } finally {
            in.close();
        }
    }
}
