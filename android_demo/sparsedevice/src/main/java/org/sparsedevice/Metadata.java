package org.sparsedevice;

import java.nio.ByteBuffer;
import java.util.LinkedHashMap;
import java.util.Map;

/** Reads the metadata section: a JSON object of strings. */
final class Metadata {
    private final String text;
    private int at;

    private Metadata(String text) {
        this.text = text;
    }

    /** The object, empty where the file has none, or null where the section is something else. */
    static Map<String, String> read(PackedFile file) {
        if (!file.has(PackedFile.METADATA)) {
            return new LinkedHashMap<>();
        }
        int begin = file.offset(PackedFile.METADATA), end = begin + file.length(PackedFile.METADATA);
        if (!Utf8.valid(file.data, begin, end)) {
            return null;
        }
        byte[] bytes = new byte[end - begin];
        ByteBuffer view = file.data.duplicate();
        ((java.nio.Buffer) view).position(begin);
        view.get(bytes);
        return new Metadata(new String(bytes, java.nio.charset.StandardCharsets.UTF_8)).object();
    }

    private Map<String, String> object() {
        Map<String, String> result = new LinkedHashMap<>();
        if (!take('{')) {
            return null;
        }
        if (take('}')) {
            return atEnd() ? result : null;
        }
        do {
            String name = string();
            if (name == null || !take(':')) {
                return null;
            }
            String value = string();
            if (value == null) {
                return null;
            }
            result.put(name, value);
        } while (take(','));
        return take('}') && atEnd() ? result : null;
    }

    private void skipSpace() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private boolean atEnd() {
        skipSpace();
        return at == text.length();
    }

    private boolean take(char wanted) {
        skipSpace();
        if (at < text.length() && text.charAt(at) == wanted) {
            at++;
            return true;
        }
        return false;
    }

    private String string() {
        if (!take('"')) {
            return null;
        }
        StringBuilder result = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') {
                return result.toString();
            }
            if (c < 0x20) {
                return null;
            }
            int escaped = c == '\\' ? escape() : c;
            if (escaped < 0) {
                return null;
            }
            result.append((char) escaped);
        }
        return null;
    }

    /** The character of an escape whose backslash has been read, or -1. */
    private int escape() {
        char c = at < text.length() ? text.charAt(at++) : 0;
        int plain = "\"\\/bfnrt".indexOf(c);
        if (c != 0 && plain >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(plain);
        }
        if (c != 'u' || at + 4 > text.length()) {
            return -1;
        }
        int code = 0;
        for (int i = 0; i < 4; i++) {
            int digit = Character.digit(text.charAt(at), 16);
            if (digit < 0 || text.charAt(at++) > 0x7F) {
                return -1;
            }
            code = code << 4 | digit;
        }
        return code;
    }
}
