// Owns types of packages that bring none: as much of them as is used here.

declare module "eventsource-1" {
  export { default } from "eventsource-2";
}

declare module "eventsource-2" {
  interface Message extends Event {
    data: string;
    lastEventId: string;
  }
  export default class EventSource {
    constructor(url: string, options?: { headers?: Record<string, string> });
    readonly readyState: number;
    addEventListener(type: string, listener: (event: Message) => void): void;
    close(): void;
  }
}
