package dev.sandglass.host.guest;

import dev.sandglass.contract.guest.v1.FileInfo;
import java.io.InputStream;

/**
 * A file that is being read. The stream ends only when all of it has come; anything else is a
 * {@link dev.sandglass.contract.PlatformException} from one of its methods.
 *
 * @param info as the file was when reading began; its size is 0 for files that do not know theirs, as in /proc
 * @param content not thread-safe; closed by whoever reads it
 */
public record FileRead(FileInfo info, InputStream content) implements AutoCloseable {
    @Override
    public void close() {
        try {
            content.close();
        } catch (java.io.IOException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
