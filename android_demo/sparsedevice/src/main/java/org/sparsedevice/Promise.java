package org.sparsedevice;

/** What every packed file keeps; a file that breaks one is refused, and the error names it. */
public enum Promise {
    MAGIC(1, "magic", "this is not a sparsedevice model; one in the compact coding is opened as a file or an asset,"
            + " or expanded first (ModelUpdate.expand)"),
    VERSION(2, "version", "the format version is not known here; update the library"),
    BYTE_ORDER(3, "byte-order", "it was written with another byte order; export it again"),
    TRUNCATED(4, "truncated", "it ends too early; copy or download it again"),
    HEADER_CHECKSUM(5, "header-checksum", "its head does not match its checksum; copy or download it again"),
    COUNTS(6, "counts", "a count in its head is outside the format's limits; export it again"),
    CODES(7, "codes", "a code in its head is unknown here; update the library or export it again"),
    SECTIONS(8, "sections", "a section is unknown, missing or out of order; export it again"),
    CONTIGUOUS(9, "contiguous", "a section is not where it must be; export it again"),
    EXTENT(10, "extent", "there are bytes after its end; copy or download it again"),
    LENGTHS(11, "lengths", "a section has not the length that the counts give; export it again"),
    PADDING(12, "padding", "bytes that must be zero are not; copy or download it again"),
    CHECKSUM(13, "checksum", "a section does not match its checksum; copy or download it again"),
    POINTERS(14, "pointers", "pointers of a table are out of order; export it again"),
    COLUMNS(15, "columns", "columns or rows are out of order, or a column is too large; export it again"),
    VALUES(16, "values", "a value is zero, not finite or out of range; export it again"),
    SCALES(17, "scales", "a scale is not a number above zero; export it again"),
    SEEN(18, "seen", "a list of seen items is out of order or names no item; export it again"),
    STRINGS(19, "strings", "an id or a title is not valid text; export it again"),
    IDS(20, "ids", "ids repeat or their order is wrong; export it again"),
    FOLD_IN(21, "fold-in", "a fold-in number is outside its range; export it again"),
    METADATA(22, "metadata", "its metadata is not a JSON object of strings; export it again");

    private static final Promise[] BY_NUMBER = values();

    private final int number;
    private final String text;
    private final String sentence;

    Promise(int number, String text, String sentence) {
        this.number = number;
        this.text = text;
        this.sentence = sentence;
    }

    /** The promise of a number that the C core returned. */
    static Promise of(int number) {
        return BY_NUMBER[number - 1];
    }

    /** Its number in the description of the format. */
    public int number() {
        return number;
    }

    /** Its name in the description of the format, for example {@code header-checksum}. */
    public String text() {
        return text;
    }

    String sentence() {
        return sentence;
    }
}
