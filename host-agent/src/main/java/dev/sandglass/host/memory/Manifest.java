package dev.sandglass.host.memory;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Which generations count. Text, one fact a line:
 *
 * <pre>
 * sandglass-memory 1
 * base UUID
 * memory BYTES
 * generation UUID CRC-32C-OF-ITS-CHECKSUM-FILE      oldest first
 * attachment NAME BYTES CRC-32C                     in the newest generation's directory
 * checksum CRC-32C-OF-ALL-BEFORE
 * </pre>
 */
record Manifest(BuildId base, long memoryBytes, List<Generation> generations, List<Attachment> attachments) {
    private static final String NAME = "sandglass-memory ";
    private static final int VERSION = 1;
    private static final String FORMAT = NAME + VERSION;
    private static final String CHECKSUM = "checksum ";
    private static final Pattern ANY_FORMAT = Pattern.compile(Pattern.quote(NAME) + "[0-9]{1,9}");
    private static final Pattern ATTACHMENT_NAME = Pattern.compile("[a-z][a-z0-9.-]{0,63}");

    /** @param checksum of its checksum file */
    record Generation(BuildId build, int checksum) {}

    record Attachment(String name, long bytes, int checksum) {}

    Manifest {
        generations = List.copyOf(generations);
        attachments = List.copyOf(attachments);
    }

    static Manifest empty(Base base) {
        return new Manifest(base.header().build(), base.header().memoryBytes(), List.of(), List.of());
    }

    static boolean isAttachmentName(String name) {
        return ATTACHMENT_NAME.matcher(name).matches();
    }

    boolean names(BuildId build) {
        return generations.stream().anyMatch(generation -> generation.build().equals(build));
    }

    byte[] encode() {
        StringBuilder text = new StringBuilder(FORMAT).append('\n');
        text.append("base ").append(base).append('\n');
        text.append("memory ").append(memoryBytes).append('\n');
        for (Generation generation : generations) {
            text.append("generation ").append(generation.build()).append(' ');
            text.append(hex(generation.checksum())).append('\n');
        }
        for (Attachment attachment : attachments) {
            text.append("attachment ").append(attachment.name()).append(' ').append(attachment.bytes());
            text.append(' ').append(hex(attachment.checksum())).append('\n');
        }
        int checksum = Checksums.of(ByteBuffer.wrap(text.toString().getBytes(StandardCharsets.US_ASCII)));
        return text.append(CHECKSUM)
                .append(hex(checksum))
                .append('\n')
                .toString()
                .getBytes(StandardCharsets.US_ASCII);
    }

    static Manifest decode(byte[] encoded) throws Damage {
        List<String> lines =
                new String(encoded, StandardCharsets.US_ASCII).lines().toList();
        String first = lines.isEmpty() ? "" : lines.getFirst();
        if (!first.equals(FORMAT) && ANY_FORMAT.matcher(first).matches() && hasChecksum(encoded)) {
            throw new Damage.OtherFormat(
                    "its format is version " + first.substring(NAME.length()) + ", this Sandglass knows " + VERSION);
        }
        try {
            Manifest manifest = decode(lines);
            if (Arrays.equals(manifest.encode(), encoded)) {
                return manifest;
            }
        } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
            // Says less than what follows.
        }
        throw new Damage("was altered");
    }

    /** In every format the last line is the checksum of those before. */
    private static boolean hasChecksum(byte[] encoded) {
        String text = new String(encoded, StandardCharsets.US_ASCII);
        int last = text.lastIndexOf(CHECKSUM);
        return last > 0
                && text.substring(last).equals(CHECKSUM + hex(Checksums.of(ByteBuffer.wrap(encoded, 0, last))) + '\n');
    }

    /** Of lines that may hold anything; what it means is only right if it encodes to them again. */
    private static Manifest decode(List<String> lines) {
        List<Generation> generations = new ArrayList<>();
        List<Attachment> attachments = new ArrayList<>();
        for (String line : lines.subList(3, lines.size() - 1)) {
            String[] fields = line.split(" ", -1);
            if (fields[0].equals("generation")) {
                generations.add(new Generation(BuildId.parse(fields[1]), Integer.parseUnsignedInt(fields[2], 16)));
            } else {
                attachments.add(
                        new Attachment(fields[1], Long.parseLong(fields[2]), Integer.parseUnsignedInt(fields[3], 16)));
            }
        }
        return new Manifest(
                BuildId.parse(lines.get(1).split(" ", 2)[1]),
                Long.parseLong(lines.get(2).split(" ", 2)[1]),
                generations,
                attachments);
    }

    private static String hex(int checksum) {
        return String.format("%08x", checksum);
    }
}
