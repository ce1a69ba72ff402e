package dev.sandglass.bench;

import java.util.List;

/** Columns as wide as their widest cell; the first is aligned to the left, figures to the right. */
final class Table {
    private Table() {}

    /** @param left how many of the leading columns are text; the others are figures */
    static String render(List<List<String>> rows, int left) {
        int columns = rows.stream().mapToInt(List::size).max().orElse(0);
        int[] widths = new int[columns];
        for (List<String> row : rows) {
            for (int i = 0; i < row.size(); i++) {
                widths[i] = Math.max(widths[i], row.get(i).length());
            }
        }
        StringBuilder text = new StringBuilder();
        for (List<String> row : rows) {
            StringBuilder line = new StringBuilder(" ");
            for (int i = 0; i < row.size(); i++) {
                String padding = " ".repeat(widths[i] - row.get(i).length());
                line.append(' ')
                        .append(i < left ? row.get(i) + padding : padding + row.get(i))
                        .append(' ');
            }
            text.append(line.toString().stripTrailing()).append('\n');
        }
        return text.toString();
    }
}
