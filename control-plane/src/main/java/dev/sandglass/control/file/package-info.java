/**
 * Files in sandboxes. Data pass through in chunks and never gather: a reader or writer that is slow makes the other side
 * wait. The one exception are small uploads whose path comes after their data; they wait in a file of their own.
 */
@NullMarked
package dev.sandglass.control.file;

import org.jspecify.annotations.NullMarked;
