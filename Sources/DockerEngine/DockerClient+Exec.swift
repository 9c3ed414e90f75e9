import FoundationEssentials
import NIOCore
import NIOHTTP1
import Report

extension DockerClient {
    /// Starts a process in a running container and connects to its three streams.
    ///
    /// - Throws: `Failure` of kind `notFound` when there is no such container, `conflict` when it does not run. A program that
    ///   does not exist is found out later: its output says so, and its exit code is 126 or 127.
    public func start(_ command: [String], in container: String) async throws -> ExecStream {
        let wish: JSON = [
            "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": false, "Cmd": .strings(command),
        ]
        let created: CreatedObject = try await json(
            .POST,
            "/containers/\(Self.escape(container))/exec",
            Self.body(wish),
            purpose: "run \(command.first ?? "nothing") in the container",
            place: container
        )
        return try await withLimit(.seconds(60), waitingFor: "the Docker engine to start a process", at: container) {
            let connection: RawConnection
            do {
                connection = try await RawConnection.open(socket)
            } catch {
                throw socket.explain(error, purpose: "start a process in a container")
            }
            return try await withTaskCancellationHandler {
                do {
                    return try await hijack(connection, id: created.id, container: container)
                } catch {
                    connection.channel.close(promise: nil)
                    throw socket.explain(error, purpose: "start a process in a container")
                }
            } onCancel: {
                connection.channel.close(promise: nil)
            }
        }
    }

    /// Starts the execution over a connection, which then carries its streams.
    private func hijack(_ connection: RawConnection, id: String, container: String) async throws -> ExecStream {
        let body = #"{"Detach":false,"Tty":false}"#
        let request =
            "POST /v\(version)/exec/\(Self.escape(id))/start HTTP/1.1\r\n"
            + "Host: docker\r\nContent-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        try await connection.channel.writeAndFlush(ByteBuffer(string: request)).get()
        var bytes = ByteBuffer()
        while true {
            guard var more = try await RawConnection.next(connection.handler, on: connection.channel.eventLoop) else {
                throw Failure(
                    .unreachable,
                    "the Docker engine cut the connection before it started a process",
                    at: container
                )
            }
            bytes.writeBuffer(&more)
            guard let head = try ResponseHead.read(from: &bytes) else { continue }
            // 200 is what engines answer that hijack without the word "upgrade".
            if head.status == 101
                || (head.status == 200 && head.headers["content-type"]?.contains("raw-stream") == true)
            {
                return ExecStream(id: id, client: self, connection: connection, leftOver: bytes)
            }
            let answer = try await rest(of: head, connection, bytes)
            throw refusal(answer, purpose: "start a process in the container", place: container)
        }
    }

    /// The body of an answer that is an error after all, as far as it is short.
    private func rest(of head: ResponseHead, _ connection: RawConnection, _ first: ByteBuffer) async throws
        -> EngineResponse
    {
        var bytes = first
        let expected = head.headers["content-length"].flatMap { Int($0) } ?? Int.max
        while bytes.readableBytes < min(expected, 1 << 16) {
            guard var more = try await RawConnection.next(connection.handler, on: connection.channel.eventLoop) else {
                break
            }
            bytes.writeBuffer(&more)
        }
        return EngineResponse(status: head.status, headers: [:], body: Data(bytes.readableBytesView))
    }

    /// Runs a command to its end.
    ///
    /// - Returns: its exit code and what it printed, both streams as one text, at most the last 64 KiB.
    /// - Throws: `Failure` of kind `timeout` when the limit passes; the process then runs on until it notices the end of its
    ///   input.
    public func run(
        _ command: [String],
        in container: String,
        limit: Duration
    ) async throws -> (exitCode: Int, output: String) {
        let name = command.joined(separator: " ")
        return try await withLimit(limit, waitingFor: "\"\(name)\" to end", at: container) {
            let stream = try await start(command, in: container)
            return try await withTaskCancellationHandler {
                await stream.closeInput()
                var output = Data()
                while let chunk = try await stream.next() {
                    switch chunk {
                    case .output(let bytes), .error(let bytes): output.append(bytes)
                    }
                    if output.count > 1 << 17 { output = output.suffix(1 << 16) }
                }
                await stream.close()
                let text = String(decoding: output.suffix(1 << 16), as: UTF8.self)
                // The streams may end a moment before the engine notes the process' end.
                for _ in 0..<100 {
                    if let code = try await stream.exitCode() { return (code, text) }
                    try await Task.sleep(for: .milliseconds(50))
                }
                throw Failure(.timeout, "waited 5 s for \"\(name)\" to end after its output did", at: container)
            } onCancel: {
                Task { await stream.close() }
            }
        }
    }
}
