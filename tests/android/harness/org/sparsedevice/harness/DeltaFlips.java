package org.sparsedevice.harness;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.DataFormatException;
import java.util.zip.Deflater;
import java.util.zip.Inflater;
import org.sparsedevice.DeltaException;
import org.sparsedevice.ModelUpdate;

/** Applies deltas whose body is damaged before it is compressed and sealed, so that the damage is met. */
final class DeltaFlips {
    private static final int HEADER = 96;

    private DeltaFlips() {}

    static void run(Map<String, Object> call, Map<String, Object> answer) {
        try {
            File base = Server.file(call, "base"), out = Server.file(call, "out"), damaged = new File(out + ".sdd");
            byte[] wanted = Files.readAllBytes(Server.file(call, "wanted").toPath());
            byte[] delta = Files.readAllBytes(Server.file(call, "delta").toPath());
            Random random = new Random(((Double) call.get("seed")).longValue());
            int refused = 0, applied = 0;
            for (int i = 0; i < ((Double) call.get("n")).intValue(); i++) {
                Files.write(damaged.toPath(), i % 4 == 0 ? flipped(delta, random) : damaged(delta, random));
                try {
                    ModelUpdate.apply(base, damaged, out);
                    applied++; // a bit that means nothing
                    if (!Arrays.equals(Files.readAllBytes(out.toPath()), wanted) || !out.delete()) {
                        throw new IllegalStateException("another file was written");
                    }
                } catch (DeltaException error) {
                    refused++;
                    if (out.exists() || new File(out + ".part").exists()) {
                        throw new IllegalStateException("something was written", error);
                    }
                }
            }
            answer.put("applied", applied);
            answer.put("refused", refused);
        } catch (IOException | DataFormatException error) {
            throw new IllegalStateException(error);
        }
    }

    static byte[] flipped(byte[] delta, Random random) {
        byte[] copy = Arrays.copyOf(delta, random.nextInt(4) > 0 ? delta.length : random.nextInt(delta.length));
        if (copy.length > 0) {
            copy[random.nextInt(copy.length)] ^= 1 + random.nextInt(255);
        }
        return copy;
    }

    private static byte[] damaged(byte[] delta, Random random) throws DataFormatException {
        ByteBuffer head = ByteBuffer.wrap(delta).order(ByteOrder.LITTLE_ENDIAN);
        byte[] body = new byte[(int) head.getLong(24)];
        Inflater inflater = new Inflater();
        inflater.setInput(delta, HEADER, delta.length - HEADER);
        inflater.inflate(body);
        inflater.end();
        body[random.nextInt(body.length)] ^= 1 << random.nextInt(8);
        for (int more = random.nextInt(3); more > 0; more--) {
            body[random.nextInt(Math.min(body.length, 64))] = (byte) random.nextInt(256);
        }
        if (random.nextInt(8) == 0) {
            body = Arrays.copyOf(body, random.nextInt(2 * body.length));
        }
        Deflater deflater = new Deflater();
        deflater.setInput(body);
        deflater.finish();
        byte[] stream = new byte[2 * body.length + 100];
        int length = deflater.deflate(stream);
        deflater.end();
        ByteBuffer made = ByteBuffer.allocate(HEADER + length).order(ByteOrder.LITTLE_ENDIAN);
        made.put(delta, 0, HEADER).put(stream, 0, length);
        made.putLong(24, body.length).putInt(12, 0);
        CRC32 crc = new CRC32();
        crc.update(made.array(), 0, made.capacity());
        made.putInt(12, (int) crc.getValue());
        return made.array();
    }
}
