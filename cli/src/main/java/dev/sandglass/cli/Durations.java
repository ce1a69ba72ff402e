package dev.sandglass.cli;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** {@code 90}, {@code 90s}, {@code 5m}, {@code 1h}, {@code 1d}: whole seconds. */
final class Durations implements ITypeConverter<Integer> {
    private static final Pattern FORM = Pattern.compile("([0-9]{1,9})([smhd]?)");

    @Override
    public Integer convert(String text) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches()) {
            throw new TypeConversionException("'" + text + "' is not a duration like 30s, 5m or 1h");
        }
        long unit = switch (matcher.group(2)) {
            case "m" -> 60;
            case "h" -> 3_600;
            case "d" -> 86_400;
            default -> 1;
        };
        long seconds = Long.parseLong(matcher.group(1)) * unit;
        if (seconds > Integer.MAX_VALUE) {
            throw new TypeConversionException("'" + text + "' is too long");
        }
        return (int) seconds;
    }
}
