package org.sparsedevice.harness;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** JSON for the lines between the tests and the server: Map, List, String, Double, Boolean, null. */
final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    static Object parse(String text) {
        return new Json(text).value();
    }

    private char next() {
        while (text.charAt(at) == ' ') {
            at++;
        }
        return text.charAt(at);
    }

    private Object value() {
        switch (next()) {
            case '{':
                Map<String, Object> map = new LinkedHashMap<>();
                for (at++; next() != '}'; ) {
                    String name = (String) value();
                    next();
                    at++; // the colon
                    map.put(name, value());
                    if (next() == ',') {
                        at++;
                    }
                }
                at++;
                return map;
            case '[':
                List<Object> list = new ArrayList<>();
                for (at++; next() != ']'; ) {
                    list.add(value());
                    if (next() == ',') {
                        at++;
                    }
                }
                at++;
                return list;
            case '"':
                return string();
            default:
                int start = at;
                while (at < text.length() && ",]} ".indexOf(text.charAt(at)) < 0) {
                    at++;
                }
                String word = text.substring(start, at);
                return word.equals("null") ? null : word.equals("true") ? Boolean.TRUE
                        : word.equals("false") ? Boolean.FALSE : (Object) Double.valueOf(word);
        }
    }

    private String string() {
        StringBuilder out = new StringBuilder();
        for (at++; text.charAt(at) != '"'; at++) {
            char c = text.charAt(at);
            if (c == '\\') {
                c = text.charAt(++at);
                int plain = "bfnrt".indexOf(c);
                if (c == 'u') {
                    c = (char) Integer.parseInt(text.substring(at + 1, at + 5), 16);
                    at += 4;
                } else if (plain >= 0) {
                    c = "\b\f\n\r\t".charAt(plain);
                }
            }
            out.append(c);
        }
        at++;
        return out.toString();
    }

    static void write(Object value, StringBuilder out) {
        if (value instanceof String) {
            out.append('"');
            for (char c : ((String) value).toCharArray()) {
                if (c < 0x20 || c > 0x7E || c == '"' || c == '\\') {
                    out.append(String.format("\\u%04x", (int) c));
                } else {
                    out.append(c);
                }
            }
            out.append('"');
        } else if (value instanceof Map) {
            String separator = "{";
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                out.append(separator);
                write(entry.getKey(), out);
                out.append(':');
                write(entry.getValue(), out);
                separator = ",";
            }
            out.append(separator.equals("{") ? "{}" : "}");
        } else if (value instanceof Iterable) {
            String separator = "";
            out.append('[');
            for (Object part : (Iterable<?>) value) {
                out.append(separator);
                write(part, out);
                separator = ",";
            }
            out.append(']');
        } else {
            out.append(value);
        }
    }
}
