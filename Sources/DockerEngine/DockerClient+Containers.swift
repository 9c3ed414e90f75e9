import FoundationEssentials
import NIOCore
import NIOHTTP1
import Report

extension DockerClient {
    /// Makes a container without starting it.
    ///
    /// - Returns: its id.
    /// - Throws: `Failure` of kind `notFound` when there is no such image, `conflict` when the name is taken.
    @discardableResult
    public func createContainer(_ spec: ContainerSpec) async throws -> String {
        let answer: CreatedObject = try await json(
            .POST,
            "/containers/create?name=\(Self.escape(spec.name))",
            Self.body(spec.wish),
            purpose: "make the container",
            place: spec.name,
            limit: .seconds(120)
        )
        return answer.id
    }

    /// Starts a container; one that runs already is fine.
    public func startContainer(_ name: String) async throws {
        try await send(
            .POST,
            "/containers/\(Self.escape(name))/start",
            purpose: "start the container",
            place: name,
            limit: .seconds(120),
            accepting: [304]
        )
    }

    /// Lets a paused container go on.
    public func unpauseContainer(_ name: String) async throws {
        try await send(
            .POST,
            "/containers/\(Self.escape(name))/unpause",
            purpose: "let the container go on",
            place: name,
            limit: .seconds(60)
        )
    }

    /// Stops a container: its stop signal, then SIGKILL after `grace`; one that does not run is fine.
    public func stopContainer(_ name: String, grace: Duration) async throws {
        let seconds = grace.components.seconds
        try await send(
            .POST,
            "/containers/\(Self.escape(name))/stop?t=\(seconds)",
            purpose: "stop the container",
            place: name,
            limit: grace + .seconds(60),
            accepting: [304]
        )
    }

    /// Removes a container, running or not, with its anonymous volumes; none of that name is fine.
    public func removeContainer(_ name: String) async throws {
        try await send(
            .DELETE,
            "/containers/\(Self.escape(name))?force=1&v=1",
            purpose: "remove the container",
            place: name,
            limit: .seconds(120),
            accepting: [404]
        )
    }

    /// The containers that carry a label, given as `key=value` or `key`, running or not.
    public func containers(label: String) async throws -> [EngineContainer] {
        try await json(.GET, "/containers/json?all=1&\(Self.filter(label: label))", purpose: "list the containers")
    }

    /// What a container is and how it fares.
    ///
    /// - Throws: `Failure` of kind `notFound`.
    public func inspectContainer(_ name: String) async throws -> ContainerDetails {
        try await json(
            .GET,
            "/containers/\(Self.escape(name))/json",
            purpose: "look at the container",
            place: name
        )
    }
}

extension DockerClient {
    /// The last lines that a container's first process printed, both streams in the order they came.
    public func logTail(of container: String, lines: Int) async throws -> String {
        let response = try await send(
            .GET,
            "/containers/\(Self.escape(container))/logs?stdout=1&stderr=1&tail=\(lines)",
            purpose: "read the container's log",
            place: container
        )
        var demultiplexer = StreamDemultiplexer()
        var bytes = ByteBuffer(bytes: response.body)
        var text = Data()
        while let piece = try demultiplexer.next(&bytes) {
            switch piece {
            case .output(let part), .error(let part): text.append(contentsOf: part.readableBytesView)
            }
        }
        return String(decoding: text.suffix(1 << 16), as: UTF8.self)
    }
}
