const { src, dataset } = document.currentScript;
SwaggerUIBundle({
  dom_id: "#page",
  url: new URL("../openapi.json", src).href,
  requestInterceptor: (request) =>
    request.loadSpec ? request : Object.assign(request, dataset),
  deepLinking: true,
  defaultModelsExpandDepth: -1, // no list of schemas: each operation has its own
  validatorUrl: null, // which is another host
});
