package org.sparsedevice.harness;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.TreeSet;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.Inflater;
import org.sparsedevice.DeltaException;
import org.sparsedevice.ModelUpdate;
import org.sparsedevice.SparseDeviceException;

/** Expands compact files cut at many lengths, flipped ones, and ones whose parts are damaged before they are sealed. */
final class CompactFlips {
    private static final int HEADER = 72;

    private final File out, damaged;
    private final byte[] coded, wanted;
    private int refused, expanded;
    private final TreeSet<String> promises = new TreeSet<>();

    private CompactFlips(File out, byte[] coded, byte[] wanted) {
        this.out = out;
        this.coded = coded;
        this.wanted = wanted;
        damaged = new File(out + ".sdz");
    }

    static void run(Map<String, Object> call, Map<String, Object> answer) {
        try {
            CompactFlips flips = new CompactFlips(Server.file(call, "out"),
                    Files.readAllBytes(Server.file(call, "compact").toPath()),
                    Files.readAllBytes(Server.file(call, "wanted").toPath()));
            Random random = new Random(((Double) call.get("seed")).longValue());
            int step = ((Double) call.get("step")).intValue();
            for (int length = 0; length < flips.coded.length; length += step) {
                flips.expand(Arrays.copyOf(flips.coded, length));
            }
            for (int i = 0; i < ((Double) call.get("n")).intValue(); i++) {
                flips.expand(i % 4 == 0 ? DeltaFlips.flipped(flips.coded, random) : flips.partsDamaged(random));
            }
            answer.put("expanded", flips.expanded);
            answer.put("refused", flips.refused);
            answer.put("promises", new ArrayList<Object>(flips.promises));
        } catch (IOException | DataFormatException error) {
            throw new IllegalStateException(error);
        }
    }

    private void expand(byte[] file) throws IOException {
        Files.write(damaged.toPath(), file);
        try {
            ModelUpdate.expand(damaged, out);
            expanded++; // a bit that means nothing
            if (!Arrays.equals(Files.readAllBytes(out.toPath()), wanted) || !out.delete()) {
                throw new IllegalStateException("another file was written");
            }
        } catch (SparseDeviceException error) {
            refused++;
            promises.add(((DeltaException) error).promise());
            if (out.exists() || new File(out + ".part").exists()) {
                throw new IllegalStateException("something was written", error);
            }
        }
    }

    private byte[] partsDamaged(Random random) throws IOException, DataFormatException {
        ByteBuffer head = ByteBuffer.wrap(coded).order(ByteOrder.LITTLE_ENDIAN);
        int deflated = (int) head.getLong(32);
        byte[] body = new byte[(int) head.getLong(24)];
        Inflater inflater = new Inflater();
        inflater.setInput(coded, HEADER, deflated);
        inflater.inflate(body);
        inflater.end();
        byte[] streams = Arrays.copyOfRange(coded, HEADER + deflated, coded.length);
        if (random.nextInt(3) == 0) {
            streams = damage(streams, random);
        } else {
            body = damage(body, random);
        }
        ByteArrayOutputStream stream = new ByteArrayOutputStream();
        DeflaterOutputStream deflater = new DeflaterOutputStream(stream, new Deflater(1));
        deflater.write(body);
        deflater.close();
        ByteBuffer made = ByteBuffer.allocate(HEADER + stream.size() + streams.length).order(ByteOrder.LITTLE_ENDIAN);
        made.put(coded, 0, HEADER).put(stream.toByteArray()).put(streams);
        made.putLong(24, body.length).putLong(32, stream.size()).putInt(12, 0);
        CRC32 crc = new CRC32();
        crc.update(made.array(), 0, made.capacity());
        made.putInt(12, (int) crc.getValue());
        return made.array();
    }

    private static byte[] damage(byte[] part, Random random) {
        byte[] copy = part.clone();
        for (int flips = new int[] {1, 1, 2, 8}[random.nextInt(4)]; flips > 0; flips--) {
            int most = random.nextInt(3) == 0 ? Math.min(100, copy.length) : copy.length;
            copy[random.nextInt(most)] ^= 1 + random.nextInt(255);
        }
        return random.nextInt(8) == 0 ? Arrays.copyOf(copy, random.nextInt(copy.length + 8)) : copy;
    }
}
