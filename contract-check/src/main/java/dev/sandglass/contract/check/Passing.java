package dev.sandglass.contract.check;

import java.io.ByteArrayOutputStream;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandler;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Flow;

/** One request on its way: keeps its bodies as they pass, as far as somebody will look at them. */
final class Passing {
    /** Of one body; JSON is shorter, except the output of large commands. */
    private static final int KEPT_BYTES_MAX = 4 << 20;

    private final HttpRequest original;
    private final Kept sent = new Kept();
    private final Kept received = new Kept();

    Passing(HttpRequest original) {
        this.original = original;
        if (original.bodyPublisher().isEmpty()) {
            sent.end();
        }
    }

    HttpRequest request() {
        return original.bodyPublisher()
                .map(body -> HttpRequest.newBuilder(original, (name, value) -> true)
                        .method(original.method(), new KeepingPublisher(body, sent))
                        .build())
                .orElse(original);
    }

    <T> BodyHandler<T> handler(BodyHandler<T> behind) {
        return info -> new KeepingSubscriber<>(behind.apply(info), received);
    }

    void ended(HttpResponse<?> response) {
        Traffic.add(new Exchange(
                original.method(),
                original.uri(),
                original.headers().map(),
                sent.whole(),
                response.statusCode(),
                response.headers().map(),
                received.whole()));
    }

    /** The bytes of one body. */
    private static final class Kept {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        private boolean ended;
        private boolean tooLong;

        synchronized void add(ByteBuffer buffer) {
            ByteBuffer copy = buffer.duplicate();
            tooLong |= bytes.size() + copy.remaining() > KEPT_BYTES_MAX;
            if (!tooLong) {
                byte[] chunk = new byte[copy.remaining()];
                copy.get(chunk);
                bytes.writeBytes(chunk);
            }
        }

        synchronized void end() {
            ended = true;
        }

        /** Empty when it has not ended yet, or was too long to be kept. */
        synchronized Optional<byte[]> whole() {
            return ended && !tooLong ? Optional.of(bytes.toByteArray()) : Optional.empty();
        }
    }

    private record KeepingPublisher(BodyPublisher behind, Kept kept) implements BodyPublisher {
        @Override
        public long contentLength() {
            return behind.contentLength();
        }

        @Override
        public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
            behind.subscribe(new Flow.Subscriber<ByteBuffer>() {
                @Override
                public void onSubscribe(Flow.Subscription subscription) {
                    subscriber.onSubscribe(subscription);
                }

                @Override
                public void onNext(ByteBuffer item) {
                    kept.add(item);
                    subscriber.onNext(item);
                }

                @Override
                public void onError(Throwable error) {
                    subscriber.onError(error);
                }

                @Override
                public void onComplete() {
                    kept.end();
                    subscriber.onComplete();
                }
            });
        }
    }

    private record KeepingSubscriber<T>(BodySubscriber<T> behind, Kept kept) implements BodySubscriber<T> {
        @Override
        public CompletionStage<T> getBody() {
            return behind.getBody();
        }

        @Override
        public void onSubscribe(Flow.Subscription subscription) {
            behind.onSubscribe(subscription);
        }

        @Override
        public void onNext(List<ByteBuffer> items) {
            items.forEach(kept::add);
            behind.onNext(items);
        }

        @Override
        public void onError(Throwable error) {
            behind.onError(error);
        }

        @Override
        public void onComplete() {
            kept.end();
            behind.onComplete();
        }
    }
}
