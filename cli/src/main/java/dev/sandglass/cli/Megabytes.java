package dev.sandglass.cli;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** {@code 512}, {@code 512m}, {@code 2g}: MiB. */
final class Megabytes implements ITypeConverter<Integer> {
    private static final Pattern FORM = Pattern.compile("([0-9]{1,6})(m|mb|mib|g|gb|gib)?");

    @Override
    public Integer convert(String text) {
        Matcher matcher = FORM.matcher(text.toLowerCase(Locale.ROOT));
        if (!matcher.matches()) {
            throw new TypeConversionException("'" + text + "' is not an amount of memory like 512m or 2g");
        }
        int number = Integer.parseInt(matcher.group(1));
        String unit = matcher.group(2);
        return unit != null && unit.startsWith("g") ? Math.multiplyExact(number, 1024) : number;
    }
}
